package oidc

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// ask shows the person what the client wants to learn, or invites them to sign up.
func (c *call) ask(q *authRequest, what grant.Asking) {
	back, ok := c.resume(q)
	if !ok {
		return
	}
	page := screen.ConsentPage{
		Asker:  screen.Asker{Name: q.client.Name, Cancel: cancelPath(back), Leads: leads(q.redirectURI)},
		SignUp: what.Question == grant.AskSignUp, Action: consentPath, Request: strings.TrimPrefix(back, authorizePath+"?"), Mark: what.Mark,
		Email: what.Email, Name: what.Named, Offline: what.Offline,
	}
	c.h.pages.Consent(c.w, c.r, c.v, page)
}

// consent takes the person's answer. The request comes back in the form and is
// read again as a whole; only a page of ours can have sent it. Who has signed in
// since it was shown is asked for themselves.
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
	c.decide(q, c.form.get("mark"))
}
