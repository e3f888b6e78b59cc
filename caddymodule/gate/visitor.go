package gate

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// visitor is what a gate leaves for gates further in: it takes our cookies away
// from the request, so these could not find the session themselves.
type visitor struct {
	above    *visitor  // what the gate before that one left
	cookies  []string  // the Cookie headers as they came
	machine  []string  // machine tokens that came with the request
	basic    bool      // one came as a password
	misfit   string    // why one counts for nothing
	relayed  bool      // see request
	identity *identity // of who was admitted
	told     *told     // what {http.auth.user.*} says; the same for all gates of a request
	ended    bool      // the handlers behind the gate have returned
	ours     bool      // a handler of ours gives the answer
	made     *outing   // what came in, where a handler made the request
	found
}

// visitorKey is where it stands among the values that the handlers of a request
// share.
const visitorKey = "gatehouse.visitor"

// String keeps the cookies out of {vars.*} placeholders.
func (*visitor) String() string { return "" }

// told is who the placeholders of a request name: nobody until a gate has admitted
// somebody.
type told struct{ *identity }

func (t *told) answer(key string) (any, bool) {
	if !strings.HasPrefix(key, userKeys) {
		return nil, false
	}
	if t.identity == nil {
		return "", true // else an app would read the placeholder's own text as a name
	}
	return t.identity.answers[key], true
}

// answeredByUs lets our cookies pass on the way back.
func (o *visitor) answeredByUs() {
	for ; o != nil; o = o.above {
		o.ours = true
	}
}

// find looks the visitor's session up. An error means that it can't be told.
func (q *request) find() error {
	if q.outer != nil && q.outer.looked {
		return q.findAgain(q.outer.found)
	}
	if q.made != nil && q.made.looked && q.made.origin == q.origin {
		return q.findAgain(q.made.found)
	}
	if q.hasToken() {
		err := q.findMachine()
		if err != nil || q.session != nil || !q.basic {
			q.looked = err == nil
			return err
		}
		// A browser goes on sending the password of a token that is over.
		q.presented = nil
	}
	domain := q.run.Domain
	if domain != "" && !q.origin.Under(domain) {
		domain = ""
	}
	var buf [session.MaxTokens + 1]string
	tokens := q.house.Cookies.SessionTokens(q.request(), q.origin.Secure(), domain, buf[:0])
	if q.tokens = len(tokens); q.tokens == 0 {
		q.looked = true
		return nil
	}
	session, err := q.run.Service.Sessions().Find(q.r.Context(), tokens, q.origin)
	if err != nil {
		return err
	}
	q.looked = true
	if session == nil {
		q.note(staleCookie, "")
		return nil
	}
	q.session, q.lastUse = session, session.LastSeen()
	return nil
}

// findAgain takes what was found before: since then the request may have waited.
func (q *request) findAgain(before found) (err error) {
	q.found = before
	q.session, err = q.run.Service.Sessions().Still(q.r.Context(), before.session)
	q.looked = err == nil
	return err
}

// request is the request with the cookies that the client sent.
func (q *request) request() *http.Request {
	switch {
	case q.outer != nil:
		return &http.Request{Header: http.Header{"Cookie": q.outer.cookies}}
	case q.made != nil:
		return &http.Request{Header: http.Header{"Cookie": q.made.cookies}}
	}
	return q.r
}

// hideCookies takes our cookies out of the request, for good: the app never
// sees them. A WebSocket that another site's page opened loses all cookies.
func (q *request) hideCookies(into *visitor) {
	if q.outer != nil {
		*into = *q.outer
		into.above, into.ended, into.ours = q.outer, false, false
	} else {
		into.cookies, into.machine = q.request().Header["Cookie"], q.presented
		into.basic, into.misfit, into.made = q.basic, q.misfit, q.made
	}
	into.relayed = q.relayed
	if !q.isCleaned() {
		q.house.Cookies.StripOwn(q.r.Header)
	}
	if q.looked {
		into.found = q.found
	}
	if q.foreign {
		delete(q.r.Header, "Cookie")
		into.found = found{looked: true}
	}
	if q.shared != nil {
		q.shared[visitorKey] = into
	}
}
