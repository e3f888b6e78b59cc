package pages

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// static serves a file whose path holds a hash of its content, so that browsers
// never ask for it twice.
func (e *exchange) static(f screen.StaticFile) { e.serve(f, "public, max-age=31536000, immutable") }

func (e *exchange) serve(f screen.StaticFile, caching string) {
	web.Guard(e.w.Header(), web.Bare)
	e.w.Header().Set("Cache-Control", caching)
	e.w.Header().Set("Content-Type", f.ContentType)
	if f.Zipped != nil && e.zips() {
		e.send(http.StatusOK, f.Zipped)
		return
	}
	e.send(http.StatusOK, f.Plain)
}

// clientScript serves the script for single-page apps. Its address never
// changes, so browsers ask for it again after an hour.
func clientScript(e *exchange) { e.serve(e.p.look.Client, "public, max-age=3600") }
