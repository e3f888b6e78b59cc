package caddymodule

// What the hosts of forward-auth show: our own pages at sites whose proxy leads
// them here, and the way to the sign-in.

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// servePages serves our own pages for a site whose proxy leads /_gatehouse/*
// here: the hand-over of sessions, and who is signed in.
func (q *question) servePages() error {
	q.r.Header.Del(machineHeader)
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	origin, problem := q.ownOrigin()
	if problem == "" && q.authz.site(origin) == nil {
		problem = "No site line names " + quoted(origin.Host()) + "."
	}
	if problem != "" {
		q.report(refusal{kind: badForward, detail: problem})
		q.w.WriteHeader(http.StatusForbidden)
		return nil
	}
	q.origin, q.portal = origin, q.authz.login
	return q.showPages()
}

// leadToLogin answers oauth2-proxy's sign-in paths. The page says the same as
// the Location, because nginx is often told to make a 403 of the answer.
func (q *question) leadToLogin() error {
	if err := q.start(); err != nil {
		return q.notStarted(err, true)
	}
	to := q.wishedReturn()
	q.login = q.authz.loginFor(to.Origin(), q.run.domain)
	q.w.Header().Set("Location", q.loginURL(to, 0))
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	q.w.WriteHeader(http.StatusFound)
	fmt.Fprint(q.w, pages.LeadTo(q.loginURL(to, 0)))
	return nil
}

// wishedReturn is where the visitor wants to be after signing in: rd or what
// the proxy says, at one of our sites; else the login host itself.
func (q *question) wishedReturn() origin.ReturnTo {
	own := q.authz.login
	if origin, problem := q.ownOrigin(); problem == "" && q.authz.site(origin) != nil {
		own = origin
	}
	wish := q.url.Query().Get("rd")
	if wish == "" {
		wish = q.r.Header.Get("X-Auth-Request-Redirect")
	}
	to := origin.ParseReturnTo(wish, own, q.run.service.Protects)
	if strings.HasPrefix(to.Path(), "/oauth2/") { // else it would lead back here
		to = origin.ParseReturnTo("/", own, nil)
	}
	return to
}
