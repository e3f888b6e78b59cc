package gate

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// MachineHeader is where a program may send its token when Authorization is the
// app's own.
const MachineHeader = "X-Gatehouse-Token"

// takeToken takes a machine token out of the request: the app must not see it.
// (Other spellings of the header go with what no client may say.) A bearer token
// that is none of ours is the app's and stays. Of two tokens nobody knows which
// one counts, so neither does. It stays out of the logs, too.
func (q *request) takeToken() {
	q.hideTokens()
	h := q.r.Header
	if lines := h[MachineHeader]; len(lines) > 0 {
		q.presented = append(q.presented, lines...)
		delete(h, MachineHeader)
	}
	for _, line := range h["Authorization"] {
		scheme, secret, _ := strings.Cut(line, " ")
		if secret = strings.TrimSpace(secret); strings.EqualFold(scheme, "Bearer") && q.house.ownsToken(secret) {
			q.presented = append(q.presented, secret)
			delete(h, "Authorization")
		}
	}
}

// findMachine looks up the session that the presented token stands for.
func (q *request) findMachine() error {
	if len(q.presented) != 1 {
		return nil
	}
	session, err := q.run.Service.Sessions().CheckToken(q.r.Context(), q.presented[0])
	if session == nil && err == nil {
		q.note(staleToken, "")
	}
	q.session = session
	return err
}

// judgeMethod keeps a token that is limited to methods to the one that it was
// judged by, also at an app that believes a header about another. Behind another
// proxy, which hands the header on itself, the request is refused.
func (q *request) judgeMethod() refusal {
	if m := q.session.Machine; m != nil && len(m.Methods) > 0 && dropMethods(q.r.Header) && q.place.Behind {
		return refusal{kind: notAllowed, detail: "This token is limited to methods, and a header of the request names another one."}
	}
	return refusal{}
}

// hasToken tells whether the request came with a machine token.
func (q *request) hasToken() bool { return len(q.presented) > 0 }

// hideTokens keeps a request with one of our tokens in its address or in a header
// of ours out of the server's log, whatever becomes of it. Caddy takes down the
// headers before any handler has seen them, and knows Cookie and Authorization
// alone for secrets.
func (q *request) hideTokens() {
	h := q.r.Header
	q.tokenHeader = len(h[MachineHeader]) > 0
	if q.shared != nil && (q.tokenHeader || holdsToken(q.url.Path) || len(h["Referer"]) > 0 && holdsToken(h["Referer"][0])) {
		q.house.server().Hide(q.shared)
	}
}

// holdsToken tells whether there is a token in the path, or in the address of
// the page that a script or style was loaded for. Caddy would log both.
func holdsToken(address string) bool {
	_, page, ours := strings.Cut(address, screen.Root)
	// The portal's own answer at handover has a ticket in its Location.
	return ours && (strings.HasPrefix(page, "link/") || strings.HasPrefix(page, "not-me/") || strings.HasPrefix(page, "handover"))
}
