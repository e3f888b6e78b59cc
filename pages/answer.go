package pages

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// guard sets what every answer of ours carries, whatever it is.
func (e *exchange) guard(policy string) {
	fields := [...]struct {
		name  string
		value [1]string
	}{
		{"Cache-Control", [1]string{"no-store"}},
		{"Content-Security-Policy", [1]string{policy}},
		// Not no-referrer: with that, browsers send Origin: null and the rule of
		// sameOrigin would refuse our own forms.
		{"Referrer-Policy", [1]string{"same-origin"}},
		{"X-Content-Type-Options", [1]string{"nosniff"}},
		{"X-Robots-Tag", [1]string{"noindex"}},
		{"Cross-Origin-Opener-Policy", [1]string{"same-origin"}},
		{"Cross-Origin-Resource-Policy", [1]string{"same-origin"}},
		{"Permissions-Policy", [1]string{"camera=(), microphone=(), geolocation=()"}},
	}
	h := e.w.Header()
	for i := range fields { // in one piece of memory, of this answer alone
		h[fields[i].name] = fields[i].value[:]
	}
}

// bare is the policy of answers that are no pages.
const bare = "default-src 'none'; frame-ancestors 'none'; sandbox"

// contentPolicy is the policy of a page. Style is allowed by its hash and the
// script by its address, because the app on the same host may serve files that
// its visitors uploaded. target is where the page's form may lead in the end:
// Chromium applies form-action to redirects as well.
func (e *exchange) contentPolicy(target origin.Origin) string {
	l := e.p.look
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src '" + l.styleHash + "'")
	images := " data:"
	if o := e.v.Origin; !o.IsZero() {
		b.WriteString("; script-src " + o.String() + l.scriptPath)
		if l.logoPath != "" {
			images += " " + o.String() + l.logoPath
		}
	}
	b.WriteString("; img-src" + images + "; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	if !target.IsZero() && target != e.v.Origin {
		b.WriteString(" " + target.String())
	}
	b.WriteString("; require-trusted-types-for 'script'")
	return b.String()
}

// page answers with a page made for this visitor.
func (e *exchange) page(status int, v *View) {
	html, ok := e.render(v)
	if !ok {
		return
	}
	e.headPage(v.Lang, v.target)
	e.write(status, html, e.p.look.fixed)
}

// render makes a page. If it can't be made, that is the answer.
func (e *exchange) render(v *View) (page []byte, ok bool) {
	var html bytes.Buffer
	html.Grow(long) // which all but the longest fit into
	if err := e.p.look.render(&html, v); err != nil {
		// Templates are tried out when they are loaded, so this is a fault of
		// ours; the visitor still gets an answer.
		e.p.log.Error("a page can't be rendered", "screen", v.Screen, "error", err)
		http.Error(e.w, "This page can't be shown.", http.StatusInternalServerError)
		return nil, false
	}
	return html.Bytes(), true
}

// headPage sets the headers of a page.
func (e *exchange) headPage(lang string, target origin.Origin) {
	e.guard(e.contentPolicy(target))
	e.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	e.w.Header().Set("Content-Language", lang)
}

// redirect answers a GET or a POST with the address to go on at. 303 makes a
// browser GET it, whatever it sent before.
func (e *exchange) redirect(to string) {
	e.guard(bare)
	if e.token != "" { // or the app would get the page's address, with the token, as Referer
		e.w.Header().Set("Referrer-Policy", "no-referrer")
	}
	e.w.Header().Set("Location", to)
	e.w.WriteHeader(http.StatusSeeOther)
}

func (e *exchange) json(status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		e.outage(err)
		return
	}
	e.guard(bare)
	e.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	e.write(status, append(body, '\n'), fixedPart{})
}

// write sends a body made for this visitor, compressed if the browser takes it:
// Caddy's encode comes after us. fixed is a part of it, or nothing.
func (e *exchange) write(status int, body []byte, fixed fixedPart) {
	if e.zips() {
		e.send(status, compress(body, fixed))
		return
	}
	e.send(status, body)
}

// zips tells whether the body is to be compressed, and says so.
func (e *exchange) zips() bool {
	e.w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(e.r.Header) {
		return false
	}
	e.w.Header().Set("Content-Encoding", "gzip")
	return true
}

func (e *exchange) send(status int, body []byte) {
	e.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	e.w.WriteHeader(status)
	if e.r.Method != http.MethodHead {
		e.w.Write(body) // a visitor who is gone needs no answer
	}
}
