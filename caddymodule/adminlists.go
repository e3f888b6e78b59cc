package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

func sessionsJSON(list []authcore.SessionInfo) []operate.Session {
	out := make([]operate.Session, len(list))
	for i, s := range list {
		out[i] = operate.Session{
			ID: s.ID, Subject: s.Subject, Email: s.Address.String(), Name: s.Name,
			Issuer: s.Issuer, Audience: s.Audience, Sites: append([]string{}, s.Sites...), Method: s.Method, AMR: s.AMR,
			AuthTime: s.AuthTime.UTC(), LastSeen: s.LastSeen.UTC(), Expires: s.Expires.UTC(),
			Agent: s.Agent, Network: s.Network, Public: s.Public,
		}
	}
	return out
}

func (c *adminCall) user(h authcore.Holder) operate.User {
	groups := []string{}
	if h.Realm == (authcore.Realm{}) {
		groups = append(groups, c.run.groups.Of(h.Address)...)
	}
	return operate.User{
		Subject: h.Subject, Email: h.Address.String(), Phone: h.Phone.String(), Name: h.Name,
		App: h.Realm.String(), Created: h.Created.UTC(), Groups: groups,
	}
}

func adminSessions(c *adminCall) error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	if c.r.URL.Query().Has("user") {
		return c.sessionsOf(c.r.URL.Query().Get("user"))
	}
	list, next, err := c.run.core.Sessions(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	return c.json(map[string]any{"sessions": sessionsJSON(list), "next": next})
}

func (c *adminCall) sessionsOf(user string) error {
	c.id = user
	holders, err := c.holders()
	if err != nil {
		return err
	}
	var list []authcore.SessionInfo
	for _, h := range holders {
		of, err := c.run.core.SessionsOf(c.r.Context(), h.Subject)
		if err != nil {
			return err
		}
		list = append(list, of...)
	}
	return c.json(map[string]any{"sessions": sessionsJSON(list), "next": ""})
}

func adminEndSession(c *adminCall) error {
	found, err := c.run.core.End(c.r.Context(), c.id, "revoked")
	if err != nil {
		return err
	}
	if !found {
		return refuseCall(http.StatusNotFound, "there is no live session with this id")
	}
	c.audit("end_session", nil, "")
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func adminUsers(c *adminCall) error {
	after, limit, err := c.page()
	if err != nil {
		return err
	}
	list, next, err := c.run.core.Everybody(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	users := make([]operate.User, len(list))
	for i := range list {
		users[i] = c.user(list[i])
	}
	return c.json(map[string]any{"users": users, "next": next})
}

func adminUser(c *adminCall) error {
	holders, err := c.holders()
	if err != nil {
		return err
	}
	var users []operate.User
	for _, h := range holders {
		sessions, err := c.run.core.SessionsOf(c.r.Context(), h.Subject)
		if err != nil {
			return err
		}
		user := c.user(h)
		user.Sessions = sessionsJSON(sessions)
		users = append(users, user)
	}
	users[0].Others = users[1:]
	return c.json(users[0])
}

// adminDeleteUser wants to know whom exactly: what is deleted does not come
// back.
func adminDeleteUser(c *adminCall) error {
	holders, err := c.holders()
	if err != nil {
		return err
	}
	if len(holders) > 1 {
		var subs []string
		for _, h := range holders {
			subs = append(subs, fmt.Sprintf("%s (%s)", h.Subject, cmp.Or(h.Realm.String(), "gates")))
		}
		return refuseCall(http.StatusConflict, "%d people have this address; delete each by their subject: %s", len(holders), strings.Join(subs, ", "))
	}
	_, orphans, err := c.run.service.DeleteHolder(c.r.Context(), holders[0], "by_operator")
	if err != nil {
		return err
	}
	c.audit("delete_user", &holders[0], "")
	if len(orphans) > 0 {
		return c.json(operate.Deleted{WithoutOwner: orphans})
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func adminEndUser(c *adminCall) error {
	holders, err := c.holders()
	if err != nil {
		return err
	}
	for _, h := range holders {
		if _, err := c.run.core.EndPerson(c.r.Context(), h.Subject, "revoked"); err != nil {
			return err
		}
		c.audit("end_sessions", &h, "")
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
