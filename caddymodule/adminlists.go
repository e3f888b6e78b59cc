package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// sessionJSON is a session in the answers of the admin API.
type sessionJSON struct {
	ID       string    `json:"sid"`
	Subject  string    `json:"sub"`
	Email    string    `json:"email"`
	Name     string    `json:"name,omitempty"`
	Issuer   string    `json:"iss"`
	Audience string    `json:"aud"`
	Sites    []string  `json:"sites"`
	Method   string    `json:"method"`
	AMR      []string  `json:"amr"`
	AuthTime time.Time `json:"auth_time"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires_at"`
	Agent    string    `json:"agent,omitempty"`
	Network  string    `json:"network,omitempty"`
	Public   bool      `json:"public,omitempty"`
}

func sessionsJSON(list []authcore.SessionInfo) []sessionJSON {
	out := make([]sessionJSON, len(list))
	for i, s := range list {
		out[i] = sessionJSON{
			ID: s.ID, Subject: s.Subject, Email: s.Address.String(), Name: s.Name,
			Issuer: s.Issuer, Audience: s.Audience, Sites: append([]string{}, s.Sites...), Method: s.Method, AMR: s.AMR,
			AuthTime: s.AuthTime.UTC(), LastSeen: s.LastSeen.UTC(), Expires: s.Expires.UTC(),
			Agent: s.Agent, Network: s.Network, Public: s.Public,
		}
	}
	return out
}

// userJSON is a person in the answers of the admin API.
type userJSON struct {
	Subject  string        `json:"sub"`
	Email    string        `json:"email"` // empty for who has none
	Phone    string        `json:"phone,omitempty"`
	Name     string        `json:"name,omitempty"`
	App      string        `json:"app,omitempty"` // as in shop/live, empty for people of the gates
	Created  time.Time     `json:"created_at"`
	Groups   []string      `json:"groups"`
	Sessions []sessionJSON `json:"sessions,omitempty"`
	// Others are further people with the same address: each app has its own.
	Others []userJSON `json:"others,omitempty"`
}

func (c *adminCall) user(h authcore.Holder) userJSON {
	groups := []string{}
	if h.Realm == (authcore.Realm{}) {
		groups = append(groups, c.run.groups.Of(h.Address)...)
	}
	return userJSON{
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
	users := make([]userJSON, len(list))
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
	var users []userJSON
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

// deletedJSON is the answer when there is something to do after a deletion.
type deletedJSON struct {
	WithoutOwner []string `json:"organizations_without_owner"`
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
		return c.json(deletedJSON{orphans})
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
