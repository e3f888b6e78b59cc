package oidc

import (
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// logoutPosted answers a form that may come from another site, without our
// cookies.
func logoutPosted(c *call) { web.SeeOther(c.w, logoutPath+"?"+c.form.values.Encode(), true) }

// logout signs out at the wish of a client (RP-Initiated Logout). With an ID token
// of the very session that the browser holds, used lately or not, it is done at
// once, and the browser goes back where the client has registered. In every other
// case the person is asked, and stays here: anybody can link to this address.
func logout(c *call) {
	p, err := parseParams(c.r.URL.RawQuery)
	if err != nil || p.twice != "" {
		detail := "The parameters can't be read."
		if err == nil {
			detail = p.twice + " is there more than once."
		}
		c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.BadApp, Detail: detail})
		return
	}
	hint, err := c.hint(p.get("id_token_hint"))
	if err != nil {
		c.outage(err)
		return
	}
	if hint == nil || p.get("client_id") != "" && p.get("client_id") != hint.Audience {
		c.askToSignOut(p)
		return
	}
	client := c.h.grants.Client(hint.Audience)
	back := p.get("post_logout_redirect_uri")
	if back != "" && !slices.Contains(client.AfterLogout, back) {
		c.askToSignOut(p)
		return
	}
	held, err := c.h.pages.Held(c.r)
	if err != nil {
		c.outage(err)
		return
	}
	for _, s := range held {
		same, err := c.isOf(s, client, hint)
		switch {
		case err != nil:
			c.outage(err)
			return
		case !same:
			c.askToSignOut(p)
			return
		}
	}
	if len(held) > 0 {
		if err := c.h.pages.SignOut(c.w, c.r, c.v, held); err != nil {
			c.outage(err)
			return
		}
	}
	if back == "" {
		c.askToSignOut(p) // which says that nobody is signed in
		return
	}
	values := url.Values{}
	if state := p.get("state"); state != "" {
		values.Set("state", state)
	}
	web.SeeOther(c.w, withQuery(back, values), true)
}

// isOf tells whether a session is that of an ID token, or has taken its place.
func (c *call) isOf(s *session.Session, client *grant.Client, hint *idClaims) (bool, error) {
	sid, err := c.h.grants.SessionOf(c.r.Context(), client, s.Subject, grant.Names{Subject: hint.Subject, Session: hint.Session})
	if err != nil || sid == "" {
		return false, err
	}
	return c.h.service.Core().Sessions().IsHeir(c.r.Context(), s, sid)
}

// askToSignOut leads to our own page, which asks, or says that nobody is signed
// in.
func (c *call) askToSignOut(p params) {
	to := screen.Root + "logout"
	if locales := p.get("ui_locales"); locales != "" {
		to += "?" + url.Values{"ui_locales": {locales}}.Encode()
	}
	web.SeeOther(c.w, to, true)
}
