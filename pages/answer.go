package pages

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// page answers with a page. It is compressed if the browser takes it: Caddy's
// encode comes after us.
func (e *exchange) page(status int, v *screen.View) {
	var html bytes.Buffer
	html.Grow(8 << 10) // which all but the longest fit into
	if err := e.p.look.Render(&html, v); err != nil {
		// Templates are tried out when they are loaded, so this is a fault of
		// ours; the visitor still gets an answer.
		e.p.log.Error("a page can't be rendered", "screen", v.Screen, "error", err)
		http.Error(e.w, "This page can't be shown.", http.StatusInternalServerError)
		return
	}
	h := e.w.Header()
	web.Guard(h, e.p.look.Policy(v, e.v.Origin))
	if e.v.Private {
		web.HideAddress(h)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang)
	body := html.Bytes()
	if e.zips() {
		body = screen.Compress(body)
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

// acceptsGzip reads Accept-Encoding. "gzip;q=0" is a no; "*" alone is none of
// a browser's.
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(coding, ";")
			if strings.EqualFold(trim(name), "gzip") {
				q, found := strings.CutPrefix(strings.ToLower(trim(quality)), "q=")
				weight, err := strconv.ParseFloat(trim(q), 64)
				return !found || err == nil && weight > 0
			}
		}
	}
	return false
}
