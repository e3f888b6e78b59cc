package gate

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/internal/web"
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
		token, form := q.house.findToken(line)
		switch form {
		case noToken:
			continue
		case strayToken:
			q.misfit = "A token came in a form in which it does not count: send it as a bearer token or as the password of Basic."
		default:
			q.presented, q.basic = append(q.presented, token), q.basic || form == passwordToken
		}
		delete(h, "Authorization")
	}
}

// tokenForm is how a token of ours came in Authorization.
type tokenForm int

const (
	noToken       tokenForm = iota
	strayToken              // as nothing that counts
	bearerToken             // Bearer <token>
	passwordToken           // Basic, as the password of any user
)

// findToken finds a token of ours in a line of Authorization, whatever it is
// written like: the app must see none, also where it does not count. Programs write
// "Token x" and "token=x", the token as the user of Basic, and leave out padding.
func (h *House) findToken(line string) (token string, form tokenForm) {
	scheme, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "Bearer") && h.ownsToken(rest):
		return rest, bearerToken
	case strings.EqualFold(scheme, "Basic"):
		_, password, _ := strings.Cut(decoded(rest), ":")
		if h.ownsToken(password) {
			return password, passwordToken
		}
	}
	if h.holdsOwn(line) {
		return "", strayToken
	}
	for _, word := range words(line) {
		if _, value, ok := strings.Cut(word, "="); ok && h.holdsOwn(decoded(value)) || h.holdsOwn(decoded(word)) {
			return "", strayToken
		}
	}
	return "", noToken
}

// holdsOwn tells whether a text is a token of ours, or has one in it.
func (h *House) holdsOwn(text string) bool {
	if text == "" {
		return false
	}
	if session.HoldsMachineToken(text) || h.ownsToken(text) {
		return true
	}
	for _, word := range words(text) {
		if h.ownsToken(word) {
			return true
		}
		for _, between := range [...]string{":", "="} {
			if before, after, ok := strings.Cut(word, between); ok && (h.ownsToken(before) || h.ownsToken(after)) {
				return true
			}
		}
	}
	return false
}

// words are the parts of a line of Authorization that may be a token each.
func words(line string) []string {
	return strings.FieldsFunc(line, func(r rune) bool { return r <= ' ' || strings.ContainsRune(",;\"'<>()[]{}", r) })
}

// decoded is what is written in base64, of either alphabet and with or without
// padding; "" for what is none.
func decoded(text string) string {
	text = standardAlphabet.Replace(strings.TrimRight(text, "="))
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	return string(data)
}

var standardAlphabet = strings.NewReplacer("-", "+", "_", "/")

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
	case "":
		return q.namesAnotherSite()
	}
	return len(h["Origin"]) > 0 && q.namesAnotherSite()
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
	m := q.session.Machine
	if m == nil {
		return refusal{}
	}
	if other := header.Destination(q.r); other != nil && !m.Paths.IsZero() && !m.Paths.Match(other.Path, other.EscapedPath()) {
		return refusal{kind: notAllowed, detail: "This token is limited to paths, and Destination names another one."}
	}
	if len(m.Methods) == 0 {
		return refusal{}
	}
	if header.DropMethods(q.r.Header) && q.place.Behind {
		return refusal{kind: notAllowed, detail: "This token is limited to methods, and a header of the request names another one."}
	}
	if name := otherMethod(q.url.RawQuery, m.Methods); name != "" {
		return refusal{kind: notAllowed, detail: "This token is limited to methods, and " + name + " in the query names another one."}
	}
	return refusal{}
}

// otherMethod finds a parameter of the query by which frameworks take another
// method than the request has, if it is not among methods: "" for none. What stands
// in a body is not looked at.
func otherMethod(query string, methods []string) (name string) {
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		key, value = unescaped(key), unescaped(value)
		if !isMethodParameter(key) || slices.ContainsFunc(methods, func(m string) bool { return strings.EqualFold(m, value) }) {
			continue
		}
		return web.Quoted(key)
	}
	return ""
}

// isMethodParameter knows _method, also as PHP reads it (".method", "_method[]"), and
// the names of the headers.
func isMethodParameter(key string) bool {
	php := strings.NewReplacer(".", "_", " ", "_", "[", "_").Replace(strings.ToLower(strings.TrimLeft(key, " ")))
	return php == "_method" || strings.HasPrefix(php, "_method_") || strings.HasPrefix(php, "x") && header.ClaimOf(key) == header.MethodClaim
}

func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
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
