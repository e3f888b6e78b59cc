package gate

import (
	"encoding/base64"
	"strings"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// MachineHeader is where a program may send its token when Authorization is the
// app's own.
const MachineHeader = "X-Gatehouse-Token"

// As Cloudflare Access has it: the secret is a token, the id may be anything.
const (
	accessID     = "Cf-Access-Client-Id"
	accessSecret = "Cf-Access-Client-Secret"
)

// takeToken takes a machine token out of the request: the app must not see it.
// (Other spellings of the header go with what no client may say.) It may come as a
// bearer token, as the password of Basic, for programs that know nothing else, or
// as Cloudflare Access has it; there, what is none of ours is the app's and stays.
// Of two tokens nobody knows which one counts, so neither does. It stays out of
// the logs, too.
func (q *request) takeToken() {
	q.hideTokens()
	h := q.r.Header
	if lines := h[MachineHeader]; len(lines) > 0 {
		q.presented = append(q.presented, lines...)
		delete(h, MachineHeader)
	}
	if lines := h[accessSecret]; len(lines) > 0 && q.house.ownsToken(lines[0]) {
		q.presented = append(q.presented, lines...)
		delete(h, accessID)
		delete(h, accessSecret)
	}
	for _, line := range h["Authorization"] {
		scheme, secret, _ := strings.Cut(line, " ")
		secret = strings.TrimSpace(secret)
		basic := strings.EqualFold(scheme, "Basic")
		if basic {
			secret = password(secret)
		}
		if (basic || strings.EqualFold(scheme, "Bearer")) && secret != "" && q.house.ownsToken(secret) {
			q.presented, q.basic = append(q.presented, secret), q.basic || basic
			delete(h, "Authorization")
		}
	}
}

// password is that of the credentials of Basic, "" for none.
func password(credentials string) string {
	text, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return ""
	}
	_, password, _ := strings.Cut(string(text), ":")
	return password
}

// findMachine looks up the session that the presented token stands for.
func (q *request) findMachine() error {
	if len(q.presented) != 1 {
		q.misfit = "Two tokens came with the request: send one."
		return nil
	}
	session, over, err := q.run.Service.Sessions().CheckToken(q.r.Context(), q.presented[0])
	if session == nil && err == nil {
		q.misfit = "This token is not known here: send all of it, to a site of the instance where it was made."
		if over {
			q.misfit = "This token has expired or was ended: make another one."
		}
		q.note(staleToken, "")
	}
	q.session = session
	return err
}

// fromElsewhere tells whether a page of another site makes the request, as far as
// the browser says so.
func (q *request) fromElsewhere() bool {
	h := q.r.Header
	switch h.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return true
	}
	lines := h["Origin"]
	return len(lines) > 1 || len(lines) == 1 && lines[0] != q.origin.String()
}

// offersBasic tells whether a 401 offers Basic: to programs that are no browser's.
// A browser would ask for a password in a window of its own.
func (q *request) offersBasic() bool {
	if q.gate == nil || !q.gate.Basic || q.session != nil {
		return false
	}
	for name := range q.r.Header {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return false
		}
	}
	return !strings.Contains(strings.ToLower(strings.Join(q.r.Header["Accept"], ",")), "text/html")
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
	q.tokenHeader = len(h[MachineHeader]) > 0 || len(h[accessSecret]) > 0 && q.house.ownsToken(h[accessSecret][0])
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
