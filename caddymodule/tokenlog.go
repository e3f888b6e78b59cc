package caddymodule

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/pages"
)

// hideTokens keeps a request with one of our tokens in its address or in a header
// of ours out of Caddy's access log, whatever becomes of it. Caddy takes down the
// headers before any handler has seen them, and knows Cookie and Authorization
// alone for secrets.
func (v *visit) hideTokens() {
	h := v.r.Header
	v.tokenHeader = len(h[machineHeader]) > 0
	if v.vars != nil && (v.tokenHeader || holdsToken(v.url.Path) || len(h["Referer"]) > 0 && holdsToken(h["Referer"][0])) {
		v.vars[caddyhttp.LogSkipVar] = true
	}
}

// holdsToken tells whether there is a token in the path, or in the address of
// the page that a script or style was loaded for. Caddy would log both.
func holdsToken(address string) bool {
	_, page, ours := strings.Cut(address, pages.Root)
	// The portal's own answer at handover has a ticket in its Location.
	return ours && (strings.HasPrefix(page, "link/") || strings.HasPrefix(page, "not-me/") || strings.HasPrefix(page, "handover"))
}

// logged writes what Caddy's logs would have of a request that passes with
// machineHeader, without the token: a line of the access log if the server has
// one, and errors. The error of a handler ends here, because Caddy would write
// the header with it; handle_errors does not see it.
type logged struct {
	next caddyhttp.Handler
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
