package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// ServeHTTP answers requests for Gatehouse's own paths, as the client sent them;
// all others pass on. A request that nothing further in takes is a 404, where
// Caddy's own answer would be an empty 200.
func (p *PagesHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, ok := p.app.meet(w, r)
	if !ok {
		return nil
	}
	if !isOwnPath(v.url.Path) {
		return nextOr404(w, r, next)
	}
	if !v.clean() {
		return v.refuse(refusal{kind: badMethod})
	}
	if err := v.start(); err != nil {
		return v.notStarted(err, true)
	}
	v.place = p.place
	return v.servePages()
}

func nextOr404(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return nextOr(w, r, next, http.NotFound)
}

// nextOr is nextOr404 with a 404 of the caller's own.
func nextOr(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler, notFound http.HandlerFunc) error {
	if err := next.ServeHTTP(w, r); err != nil {
		return err
	}
	if unhandled, _ := caddyhttp.GetVar(r.Context(), "unhandled").(bool); unhandled {
		notFound(w, r)
	}
	return nil
}
