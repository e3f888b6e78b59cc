package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

func init() { caddy.RegisterModule(new(Cleaner)) }

// Cleaner passes requests on without what only Gatehouse may say: identity
// headers in any spelling, as header or trailer, hop-by-hop tricks, upgrades to
// anything but a WebSocket, and Gatehouse's cookies and machine tokens. The app
// can't set Gatehouse's cookies either. It asks nobody to sign in.
//
// A gate does the same for all requests that it sees; this is for handlers on
// the same host that no gate stands before. After a gate it does nothing, and a
// gate after it finds session and token all the same.
type Cleaner struct {
	// Keep is as in a gate.
	Keep []string `json:"keep,omitempty"`

	cleaner gate.Cleaner
}

// CaddyModule returns the Caddy module information.
func (*Cleaner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_clean", New: func() caddy.Module { return new(Cleaner) }}
}

// Provision joins the handler to the app.
func (c *Cleaner) Provision(ctx caddy.Context) error { return join(ctx, c) }

// Validate checks the names of headers to keep.
func (c *Cleaner) Validate() error { return header.CheckKept(c.Keep) }

func (c *Cleaner) join(app *App) { c.cleaner.House, c.cleaner.Keep = &app.house, c.Keep }

// ServeHTTP passes the request on, cleaned.
func (c *Cleaner) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return c.cleaner.ServeHTTP(w, r, next)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Cleaner)(nil)
	_ caddy.Validator             = (*Cleaner)(nil)
	_ caddyhttp.MiddlewareHandler = (*Cleaner)(nil)
)
