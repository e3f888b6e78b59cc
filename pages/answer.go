package pages

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// contentPolicy is the policy of a page. Style is allowed by its hash and the
// script by its address, because the app on the same host may serve files that
// its visitors uploaded. Chromium applies form-action to redirects as well, so
// it names where the form may lead in the end.
func (e *exchange) contentPolicy(v *View) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src " + e.p.look.styleSource)
	if v.Script != "" {
		b.WriteString("; script-src " + e.v.Origin.String() + v.Script)
	}
	b.WriteString("; img-src data:")
	if v.Logo != "" {
		b.WriteString(" " + e.v.Origin.String() + v.Logo)
	}
	b.WriteString("; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	switch {
	case v.anywhere:
		b.WriteString(" https: http:")
	case !v.target.IsZero() && v.target != e.v.Origin:
		b.WriteString(" " + v.target.String())
	}
	b.WriteString("; require-trusted-types-for 'script'")
	return b.String()
}

// page answers with a page. It is compressed if the browser takes it: Caddy's
// encode comes after us.
func (e *exchange) page(status int, v *View) {
	var html bytes.Buffer
	html.Grow(8 << 10) // which all but the longest fit into
	if err := e.p.look.render(&html, v); err != nil {
		// Templates are tried out when they are loaded, so this is a fault of
		// ours; the visitor still gets an answer.
		e.p.log.Error("a page can't be rendered", "screen", v.Screen, "error", err)
		http.Error(e.w, "This page can't be shown.", http.StatusInternalServerError)
		return
	}
	h := e.w.Header()
	web.Guard(h, e.contentPolicy(v))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	body := html.Bytes()
	if e.zips() {
		body = compress(body)
	}
	e.send(status, body)
}

// redirect answers a GET or a POST with the address to go on at.
func (e *exchange) redirect(to string) { web.SeeOther(e.w, to, e.token != "") }

func (e *exchange) json(status int, value any) {
	web.Guard(e.w.Header(), web.Bare)
	if err := web.JSON(e.w, e.r, status, value); err != nil {
		e.outage(err)
	}
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
