package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
)

// static serves a file whose path holds a hash of its content, so that browsers
// never ask for it twice.
func (e *exchange) static(f staticFile) { e.serve(f, "public, max-age=31536000, immutable") }

func (e *exchange) serve(f staticFile, caching string) {
	web.Guard(e.w.Header(), web.Bare)
	e.w.Header().Set("Cache-Control", caching)
	e.w.Header().Set("Content-Type", f.contentType)
	if f.zipped != nil && e.zips() {
		e.send(http.StatusOK, f.zipped)
		return
	}
	e.send(http.StatusOK, f.plain)
}

// picture serves the logo. Opened by itself, an SVG must not run anything.
func picture(e *exchange) { e.static(e.p.look.logo.staticFile) }

func script(e *exchange) { e.static(e.p.look.script) }

// clientScript serves the script for single-page apps. Its address never
// changes, so browsers ask for it again after an hour.
func clientScript(e *exchange) { e.serve(e.p.look.client, "public, max-age=3600") }
