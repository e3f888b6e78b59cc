package caddymodule

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// furnish tells the house of all handlers what Caddy and this configuration know.
func (a *App) furnish() {
	a.house.Server, a.house.Sites, a.house.Observer = caddyServer{a}, neighbourhood{a}, metrics.Gates{}
	a.house.Show = a.shown
}

// knowConnections has requests of the server that is being provisioned carry
// their connection, once for all its gates.
func (a *App) knowConnections(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || slices.Contains(a.servers, server) {
		return
	}
	a.servers = append(a.servers, server)
	server.RegisterConnContext(gate.ConnContext)
}

// caddyServer is what Caddy knows of a request.
type caddyServer struct{ app *App }

// Asked implements gate.Server.
func (caddyServer) Asked(r *http.Request) (at *url.URL, method string, vars map[string]any) {
	ctx := r.Context()
	vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	if original, ok := ctx.Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		return original.URL, original.Method, vars
	}
	return r.URL, r.Method, vars
}

// Peer implements gate.Server.
func (caddyServer) Peer(vars map[string]any) (client string, trusted bool) {
	client, _ = vars[caddyhttp.ClientIPVarKey].(string)
	trusted, _ = vars[caddyhttp.TrustedProxyVarKey].(bool)
	return client, trusted
}

// SetPeer implements gate.Server.
func (caddyServer) SetPeer(vars map[string]any, client string, trusted bool) {
	vars[caddyhttp.ClientIPVarKey], vars[caddyhttp.TrustedProxyVarKey] = client, trusted
}

// IsProxy implements gate.Server.
func (caddyServer) IsProxy(r *http.Request, addr netip.Addr) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && server != nil && trusts(server, netip.AddrPortFrom(addr, 1).String())
}

// Hide implements gate.Server.
func (caddyServer) Hide(vars map[string]any) { vars[caddyhttp.LogSkipVar] = true }

// Tell implements gate.Server: {http.auth.user.*}, and user_id in access logs.
func (caddyServer) Tell(r *http.Request, answers func(key string) (any, bool)) {
	if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		replacer.Map(answers)
	}
}

// Quietly implements gate.Server.
func (s caddyServer) Quietly(next gate.Handler, user string) gate.Handler {
	return &logged{next: next, log: s.app.log.Named("access"), user: user}
}

// neighbourhood is the other sites of a configuration.
type neighbourhood struct{ app *App }

func (s neighbourhood) PortalFor(o origin.Origin) origin.Origin { return s.app.portalFor(o) }
func (s neighbourhood) IsPortal(o origin.Origin) bool           { return s.app.isPortal(o) }
func (s neighbourhood) AccountAt(o origin.Origin) pages.Account { return s.app.accountAt(o) }
func (s neighbourhood) Open(session *session.Session, client netip.Addr) []origin.Origin {
	return s.app.sitesFor(session, client)
}

// logged writes what Caddy's logs would have of a request that passes with
// gate.MachineHeader, without the token: a line of the access log if the server has
// one, and errors. The error of a handler ends here, because Caddy would write
// the header with it; handle_errors does not see it.
type logged struct {
	next gate.Handler
	log  *zap.Logger
	user string // empty: nobody
}

// ServeHTTP implements caddyhttp.Handler.
func (l *logged) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	began := time.Now()
	out := caddyhttp.NewResponseRecorder(w, nil, nil)
	err := l.next.ServeHTTP(out, r)
	status := out.Status()
	if err != nil && status == 0 {
		status = http.StatusInternalServerError
		var known caddyhttp.HandlerError
		if errors.As(err, &known) && known.StatusCode != 0 {
			status = known.StatusCode
		}
		w.WriteHeader(status)
	}
	fields := []zap.Field{
		zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}),
		zap.Duration("duration", time.Since(began)), zap.Int("size", out.Size()), zap.Int("status", status),
	}
	if l.user != "" {
		fields = append(fields, zap.String("user_id", l.user))
	}
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	switch {
	case err != nil && status >= http.StatusInternalServerError:
		l.log.Error("a request with a machine token failed", append(fields, zap.Error(err))...)
	case server != nil && server.Logs != nil:
		l.log.Info("handled request", fields...)
	}
	return nil
}
