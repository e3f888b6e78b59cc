package pages

import "net/http"

// static serves a file whose path holds a hash of its content, so that browsers
// never ask for it twice.
func (e *exchange) static(contentType string, content []byte) {
	e.guard(bare)
	e.w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	e.w.Header().Set("Content-Type", contentType)
	e.write(http.StatusOK, content)
}

// picture serves the logo. Opened by itself, an SVG must not run anything.
func picture(e *exchange) {
	e.static(e.p.look.logo.contentType, e.p.look.logo.content)
}

func script(e *exchange) { e.static("text/javascript; charset=utf-8", e.p.look.script) }
