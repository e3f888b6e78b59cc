package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// Provision joins the handler to the app.
func (p *PagesHandler) Provision(ctx caddy.Context) error { return join(ctx, p) }

// Validate checks the names of headers to keep.
func (p *PagesHandler) Validate() error { return header.CheckKept(p.Keep) }

func (p *PagesHandler) join(app *App) {
	p.pages.House, p.pages.Cleans, p.pages.Keep = &app.house, p.Clean, p.Keep
}

// Cleans is asked by the walk over the routes.
func (p *PagesHandler) Cleans() bool { return p.Clean }

// ServeHTTP answers requests for Gatehouse's own paths. A request that nothing
// further in takes is a 404.
func (p *PagesHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return p.pages.ServeHTTP(w, r, orElse{next, http.NotFound})
}

// joiner is a handler that works with the app.
type joiner interface{ join(*App) }

func join(ctx caddy.Context, h joiner) error {
	app, err := theApp(ctx)
	if err == nil {
		h.join(app)
	}
	return err
}

// orElse is a handler with an answer for what it leaves alone: Caddy's own would be
// an empty 200.
type orElse struct {
	next     caddyhttp.Handler
	notFound http.HandlerFunc
}

// ServeHTTP implements caddyhttp.Handler.
func (o orElse) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	if err := o.next.ServeHTTP(w, r); err != nil {
		return err
	}
	if unhandled, _ := caddyhttp.GetVar(r.Context(), "unhandled").(bool); unhandled {
		o.notFound(w, r)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*PagesHandler)(nil)
	_ caddy.Validator             = (*PagesHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*PagesHandler)(nil)
)
