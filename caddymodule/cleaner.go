package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
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
type Cleaner struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*Cleaner) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_clean", New: func() caddy.Module { return new(Cleaner) }}
}

// Provision joins the handler to the app.
func (c *Cleaner) Provision(ctx caddy.Context) (err error) {
	c.app, err = theApp(ctx)
	return err
}

// ServeHTTP passes the request on, cleaned.
func (c *Cleaner) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, ok := c.app.meet(w, r)
	if !ok {
		return nil
	}
	if v.isCleaned() {
		return next.ServeHTTP(w, r)
	}
	v.next = next
	if !v.clean() {
		return v.refuse(refusal{kind: badMethod})
	}
	return v.passBeside()
}

// isCleaned tells whether a gate or a cleaner before this one has cleaned the
// request and still looks at the answer. In an error route it does not: the
// handlers before have returned.
func (v *visit) isCleaned() bool { return v.outer != nil && !v.outer.ended }

// clean takes from the request what no client may say, before anything can
// fail, and keeps what a gate further in needs. It tells whether the request may
// be passed on at all.
func (v *visit) clean() bool {
	v.takeToken()
	v.webSocket = cleanRequest(v.r, v.vars)
	return isPassable(v.r.Method, v.webSocket)
}

// passBeside passes on what no gate here looks at. Error routes are told whom
// the gate has admitted.
func (v *visit) passBeside() error {
	if v.outer != nil && v.outer.identity != nil {
		v.outer.identity.write(v.r.Header)
	}
	return v.pass(false)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Cleaner)(nil)
	_ caddyhttp.MiddlewareHandler = (*Cleaner)(nil)
)
