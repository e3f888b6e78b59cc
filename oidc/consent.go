package oidc

import (
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// ask shows the person what the client wants to learn, or invites them to sign up.
func (c *call) ask(q *authRequest, s *session.Session, what grant.Question) {
	back, ok := c.resume(q)
	if !ok {
		return
	}
	page := screen.ConsentPage{
		Asker:  screen.Asker{Name: q.client.Name, Cancel: cancelPath(back), Leads: leads(q.redirectURI)},
		SignUp: what == grant.AskSignUp, Action: consentPath, Request: strings.TrimPrefix(back, authorizePath+"?"),
		Email:   slices.Contains(q.scope, grant.ScopeEmail) || q.claims.wants("email"),
		Offline: slices.Contains(q.scope, grant.ScopeOffline),
	}
	if q.client.Profile && (slices.Contains(q.scope, grant.ScopeProfile) || q.claims.wants("name")) {
		page.Name = s.Name
	}
	c.h.pages.Consent(c.w, c.r, c.v, page)
}

// consent takes the person's answer. The request comes back in the form and is
// read again as a whole; only a page of ours can have sent it.
func consent(c *call) {
	if !web.SameOrigin(c.r, c.v.Origin) {
		c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.CrossSite, Detail: "Origin: " + c.issuer})
		return
	}
	q := c.request(c.form.get("request_query"))
	if q == nil {
		return
	}
	if c.form.get("decision") != "allow" {
		c.deny(q, authError{"access_denied", "the person did not agree"})
		return
	}
	s := c.v.Session
	ask, err := c.mustSignIn(q, s)
	switch {
	case err != nil:
		c.outage(err)
	case ask:
		c.signIn(q)
	case !q.client.Admits(s.Address):
		c.notAllowed(q)
	default:
		if err := c.h.grants.Agree(c.r.Context(), q.client, s.Subject, q.scope); err != nil {
			c.outage(err)
			return
		}
		c.grant(q, s)
	}
}
