package caddymodule

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/link"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/api/stackbe"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages"
)

func init() { caddy.RegisterModule(new(API)) }

// API serves sign-in as JSON, in the wire formats of Link, reflex, StackBE
// and Streambird, for the apps of the gatehouse app. Requests for paths it does not know pass on.
//
// Their OpenAPI documents stand at /_gatehouse/openapi/{dialect}.json.
type API struct {
	// Origins lists where the API stands beside what the host matchers above it
	// say, for example https://api.example.com:8443. Links in mails begin with
	// the origin that a request came to.
	Origins []string `json:"origins,omitempty"`

	app     *App
	origins []origin.Origin
	place   *place // set when the app starts
}

// CaddyModule returns the Caddy module information.
func (*API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_api", New: func() caddy.Module { return new(API) }}
}

// Provision joins the handler to the app.
func (a *API) Provision(ctx caddy.Context) (err error) {
	if a.app, err = theApp(ctx); err != nil {
		return err
	}
	a.app.apis = append(a.app.apis, a)
	a.origins, err = parseOrigins(a.Origins)
	return err
}

// ServeHTTP answers the calls of the dialects.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, ok := a.app.meet(w, r)
	if !ok {
		return nil
	}
	if err := v.start(); err != nil {
		return v.notStarted(err, true)
	}
	if !v.run.api.Knows(v.url.Path) {
		return nextOr(w, r, next, func(w http.ResponseWriter, r *http.Request) {
			v.run.api.NotFound(w, v.original(), api.Visit{Origin: v.origin, Client: v.client()})
		})
	}
	v.place = a.place
	if why := v.locate(true); why.kind != "" {
		v.report(why)
		return v.refuse(why)
	}
	v.serveAPI()
	return nil
}

// serveAPI answers one call. Some formats put keys, codes and tokens into the
// query, and people send keys in headers of other products, which Caddy's access
// log would keep: those requests are left out of it, and a line without query
// and headers goes to the logger gatehouse.api.
func (v *visit) serveAPI() {
	if v.vars == nil || v.url.RawQuery == "" && !strayKey(v.r.Header) {
		v.callAPI(v.w)
		return
	}
	v.vars[caddyhttp.LogSkipVar] = true
	began := time.Now()
	recorder := caddyhttp.NewResponseRecorder(v.w, nil, nil)
	v.callAPI(recorder)
	v.run.log.Named("api").Info("handled request",
		zap.String("method", v.method), zap.String("host", v.r.Host), zap.String("path", v.url.Path),
		zap.Stringer("client_ip", v.client()), zap.Int("status", recorder.Status()), zap.Duration("duration", time.Since(began)))
}

// strayKey tells whether a header that Caddy logs holds a secret key.
func strayKey(h http.Header) bool {
	for name, values := range h {
		if name == "Authorization" || name == "Proxy-Authorization" || name == "Cookie" {
			continue
		}
		for _, value := range values {
			if strings.Contains(value, "sk_live_") || strings.Contains(value, "sk_test_") {
				return true
			}
		}
	}
	return false
}

func (v *visit) callAPI(w http.ResponseWriter) {
	if !v.run.api.Serve(w, v.original(), api.Visit{Origin: v.origin, Client: v.client()}) {
		v.run.api.NotFound(w, v.original(), api.Visit{Origin: v.origin, Client: v.client()}) // never Caddy's empty 200
	}
}

// newAPI makes what answers the calls of this configuration.
func (a *App) newAPI(service *authcore.Service, shown *pages.Pages) (*api.Handler, error) {
	parts := api.Config{Service: service, Pages: shown, Log: a.ctx.Slogger()}
	options, err := reflex.OptionsFromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	return api.NewHandler(
		link.New(parts),
		reflex.New(parts, options),
		stackbe.New(parts),
		streambird.New(parts),
	), nil
}

// placeAPIs gives the handlers their places.
func (a *App) placeAPIs(w *walk) error {
	for _, h := range a.apis {
		if h.place = w.places[h]; h.place == nil {
			h.place = &place{}
		}
		h.place.origins = h.origins
		if len(h.place.hosts) == 0 && len(h.origins) == 0 {
			return fmt.Errorf("gatehouse_api stands under no host name, so its links don't know their address; give the site a name instead of a port alone, or write\n    gatehouse_api {\n        origin https://api.example.com\n    }")
		}
		if len(a.Apps) == 0 {
			a.log.Warn("gatehouse_api has no apps, so it refuses every call; write in the global gatehouse block\n    app shop {\n        api_key {file./run/secrets/shop}\n    }")
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*API)(nil)
	_ caddyhttp.MiddlewareHandler = (*API)(nil)
)
