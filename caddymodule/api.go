package caddymodule

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
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
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/routes"
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
	// the origin that a request came to; under a host with * only a call with a
	// secret key has that, all others have the first origin without one.
	Origins []string `json:"origins,omitempty"`

	calls   gate.API
	origins []origin.Origin
	place   *routes.Place // set when the app starts
}

// CaddyModule returns the Caddy module information.
func (*API) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_api", New: func() caddy.Module { return new(API) }}
}

// Provision joins the handler to the app.
func (a *API) Provision(ctx caddy.Context) (err error) {
	if err = join(ctx, a); err != nil {
		return err
	}
	a.origins, err = parseOrigins(a.Origins)
	return err
}

func (a *API) join(app *App) {
	app.apis = append(app.apis, a)
	a.calls.House = &app.house
	a.calls.Privately = func(w http.ResponseWriter, r *http.Request, client netip.Addr, call func(http.ResponseWriter)) {
		if r.URL.RawQuery == "" && !strayKey(r.Header) {
			call(w)
			return
		}
		app.answerPrivately(w, r, client, call)
	}
}

// ServeHTTP answers the calls of the dialects.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return a.calls.ServeHTTP(w, r, orElse{next, a.calls.NotFound})
}

// answerPrivately keeps a call out of Caddy's access log that may hold a secret:
// some formats put keys, codes and tokens into the query, or into the address
// that a browser is sent to, and people send keys in headers of other products. A
// line without query and headers goes to the logger gatehouse.api.
func (a *App) answerPrivately(w http.ResponseWriter, r *http.Request, client netip.Addr, call func(http.ResponseWriter)) {
	vars, _ := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
	if vars == nil {
		call(w)
		return
	}
	vars[caddyhttp.LogSkipVar] = true
	began := time.Now()
	recorder := caddyhttp.NewResponseRecorder(w, nil, nil)
	call(recorder)
	a.log.Named("api").Info("handled request",
		zap.String("method", r.Method), zap.String("host", r.Host), zap.String("path", r.URL.Path),
		zap.Stringer("client_ip", client), zap.Int("status", recorder.Status()), zap.Duration("duration", time.Since(began)))
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

// newAPI makes what answers the calls of this configuration.
func (a *App) newAPI(service *authcore.Service, shown *pages.Pages, options reflex.Options) *api.Handler {
	parts := api.Config{Service: service, Pages: shown, Log: a.ctx.Slogger()}
	return api.NewHandler(
		link.New(parts),
		reflex.New(parts, options),
		stackbe.New(parts),
		streambird.New(parts),
	)
}

// placeAPIs gives the handlers their places.
func (a *App) placeAPIs(w *routes.Walk) error {
	for _, h := range a.apis {
		if h.place = w.Places[h]; h.place == nil {
			h.place = &routes.Place{}
		}
		h.place.Origins, h.calls.Place = h.origins, &h.place.Place
		if len(h.place.Hosts) == 0 && len(h.origins) == 0 {
			return fmt.Errorf("gatehouse_api stands under no host name, so its links don't know their address; give the site a name instead of a port alone, or write\n    gatehouse_api {\n        origin https://api.example.com\n    }")
		}
		if len(h.origins) == 0 && !slices.ContainsFunc(h.place.Hosts, func(host string) bool { return !strings.Contains(host, "*") }) {
			return fmt.Errorf("gatehouse_api stands under %s alone, so whoever has a publishable key could choose the host of the links in mails; name the one where they lead\n    gatehouse_api {\n        origin https://api.example.com\n    }", strings.Join(h.place.Hosts, " "))
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
