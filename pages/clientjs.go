package pages

import "net/http"

// clientScript serves the script for single-page apps. Its address never
// changes, so browsers ask for it again after an hour.
func clientScript(e *exchange) {
	e.guard(bare)
	e.w.Header().Set("Cache-Control", "public, max-age=3600")
	e.w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	e.write(http.StatusOK, e.p.look.client)
}
