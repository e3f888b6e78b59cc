package caddymodule

import (
	"net/http"
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
	Email    string        `json:"email"`
	Name     string        `json:"name,omitempty"`
	Created  time.Time     `json:"created_at"`
	Groups   []string      `json:"groups"`
	Sessions []sessionJSON `json:"sessions,omitempty"`
}

func (c *adminCall) user(a *authcore.Account) userJSON {
	groups := append([]string{}, c.run.groups.Of(a.Address)...)
	return userJSON{Subject: a.Subject, Email: a.Address.String(), Name: a.Name, Created: a.Created.UTC(), Groups: groups}
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
	list, next, err := c.run.core.Accounts(c.r.Context(), after, limit)
	if err != nil {
		return err
	}
	users := make([]userJSON, len(list))
	for i := range list {
		users[i] = c.user(&list[i])
	}
	return c.json(map[string]any{"users": users, "next": next})
}

func adminUser(c *adminCall) error {
	a, err := c.account()
	if err != nil {
		return err
	}
	sessions, err := c.run.core.SessionsOf(c.r.Context(), a.Subject)
	if err != nil {
		return err
	}
	user := c.user(a)
	user.Sessions = sessionsJSON(sessions)
	return c.json(user)
}

func adminDeleteUser(c *adminCall) error {
	a, err := c.account()
	if err != nil {
		return err
	}
	if _, err := c.run.core.Delete(c.r.Context(), a.Subject, "by_operator"); err != nil {
		return err
	}
	c.audit("delete_user", a, "")
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
		c.audit("end_sessions", &authcore.Account{Subject: h.Subject, Address: h.Address}, "")
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
