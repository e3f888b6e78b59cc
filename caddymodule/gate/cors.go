package gate

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Preflight requests bear no cookies, so a gate can't tell whose they are; an app
// may run the page for one. For pages of the origins in Gate.CORS the gate
// answers them itself. What the app answers to the request that follows is the
// app's to share.

// sharesWith is the origin of the page that asks, if it is one of Gate.CORS.
func (q *request) sharesWith() string {
	lines := q.r.Header["Origin"]
	if len(q.gate.CORS) == 0 || len(lines) != 1 || strings.HasSuffix(lines[0], "/") {
		return ""
	}
	from, err := origin.Parse(lines[0])
	if err != nil {
		return ""
	}
	for _, o := range q.gate.CORS {
		if o == from {
			return lines[0]
		}
	}
	return ""
}

// answerPreflight allows what the page asks for: the request itself is judged when
// it comes.
func (q *request) answerPreflight() error {
	why := q.locate(true)
	if why.kind == "" {
		why = q.checkClient()
	}
	if why.kind != "" {
		q.report(why)
		return q.refuse(why)
	}
	h := q.w.Header()
	q.share()
	h.Set("Cache-Control", "no-store")
	h.Set("Access-Control-Allow-Methods", headerList(q.r.Header["Access-Control-Request-Method"]))
	if names := headerList(q.r.Header["Access-Control-Request-Headers"]); names != "" {
		h.Set("Access-Control-Allow-Headers", names)
	}
	h.Set("Access-Control-Max-Age", "600")
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// share lets the page's script read an answer of ours.
func (q *request) share() {
	if q.sharing == "" {
		return
	}
	h := q.w.Header()
	h.Set("Access-Control-Allow-Origin", q.sharing)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
}

// headerList repeats what a header lists, as far as it is a list of tokens.
func headerList(lines []string) string {
	text := strings.Join(lines, ", ")
	if len(text) > 4<<10 || strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("!#$%&'*+-.^_`|~, ", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return ""
	}
	return text
}

// before is the address as visitors see it, where a proxy in front takes
// Gate.Prefix away.
func (g *Gate) before(at *url.URL) *url.URL {
	if g.Prefix == "" || !strings.HasPrefix(at.Path, "/") {
		return at
	}
	seen := *at
	seen.Path = g.Prefix + at.Path
	if at.RawPath != "" {
		seen.RawPath = g.Prefix + at.RawPath
	}
	return &seen
}
