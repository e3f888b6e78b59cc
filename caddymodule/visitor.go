package caddymodule

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// visitor is what a gate leaves for gates further in: it takes our cookies away
// from the request, so these could not find the session themselves.
type visitor struct {
	above    *visitor  // what the gate before that one left
	cookies  []string  // the Cookie headers as they came
	machine  []string  // machine tokens that came with the request
	identity *identity // of who was admitted
	told     bool      // {http.auth.user.*} has answers
	ended    bool      // the handlers behind the gate have returned
	ours     bool      // a handler of ours gives the answer
	looked   bool      // the session was looked up; what follows is the outcome
	session  *authcore.Session
	lastUse  time.Time
	tokens   int
}

// visitorKey is where it stands among Caddy's variables of the request.
const visitorKey = "gatehouse.visitor"

// String keeps the cookies out of {vars.*} placeholders.
func (*visitor) String() string { return "" }

// answeredByUs lets our cookies pass on the way back.
func (o *visitor) answeredByUs() {
	for ; o != nil; o = o.above {
		o.ours = true
	}
}

// find looks the visitor's session up. An error means that it can't be told.
func (v *visit) find() error {
	if v.outer != nil && v.outer.looked {
		v.looked, v.session, v.lastUse, v.tokens = true, v.outer.session, v.outer.lastUse, v.outer.tokens
		return nil
	}
	if v.hasToken() {
		err := v.findMachine()
		v.looked = err == nil
		return err
	}
	domain := v.run.domain
	if domain != "" && !v.origin.Under(domain) {
		domain = ""
	}
	var buf [authcore.MaxSessionTokens + 1]string
	tokens := pages.SessionTokens(v.request(), v.origin.Secure(), domain, buf[:0])
	if v.tokens = len(tokens); v.tokens == 0 {
		v.looked = true
		return nil
	}
	session, err := v.run.service.Find(v.r.Context(), tokens, v.origin)
	if err != nil {
		return err
	}
	v.looked = true
	if session == nil {
		v.note(staleCookie, "")
		return nil
	}
	v.session, v.lastUse = session, session.LastSeen()
	return nil
}

// request is the request with the cookies that the client sent.
func (v *visit) request() *http.Request {
	if v.outer == nil {
		return v.r
	}
	return &http.Request{Header: http.Header{"Cookie": v.outer.cookies}}
}

// hideCookies takes our cookies out of the request, for good: the app never
// sees them. A WebSocket that another site's page opened loses all cookies.
func (v *visit) hideCookies(into *visitor) {
	if v.outer != nil {
		*into = *v.outer
		into.above, into.ended, into.ours = v.outer, false, false
	} else {
		into.cookies, into.machine = v.r.Header["Cookie"], v.presented
	}
	if !v.isCleaned() {
		pages.StripOwnCookies(v.r.Header)
	}
	if v.looked {
		into.looked, into.session, into.lastUse, into.tokens = true, v.session, v.lastUse, v.tokens
	}
	if v.foreign {
		delete(v.r.Header, "Cookie")
		into.looked, into.session, into.tokens = true, nil, 0
	}
	if v.vars != nil {
		v.vars[visitorKey] = into
	}
}
