package caddymodule

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/pages"
	"time"
)

// refusal is why a request does not pass; the zero value: it does.
type refusal struct {
	kind   refusalKind
	detail string        // for whoever runs the site, may be empty
	maxAge time.Duration // with loginRequired: how old the sign-in may be, 0 for any
	err    error         // with unavailable
}

// refusalKind is a stable word, for answers, logs and metrics.
type refusalKind string

const (
	loginRequired refusalKind = "login_required"
	notAllowed                = refusalKind(pages.NotAllowed)
	clientRefused             = refusalKind(pages.ClientIP)
	badOrigin                 = refusalKind(pages.BadOrigin)
	insecureHTTP              = refusalKind(pages.InsecureHTTP)
	badWebSocket              = refusalKind(pages.BadWebSocketOrigin)
	unavailable               = refusalKind(pages.Unavailable)
	badMethod     refusalKind = "bad_method"
	badForward    refusalKind = "bad_forwarded_request" // a proxy's question that can't be believed or read
	unknownSite   refusalKind = "unknown_site"          // that no site of gatehouse_authz names
	notPassable   refusalKind = "not_passable"          // TRACE and the like behind another proxy
	tooEarly      refusalKind = "too_early"
	badTarget     refusalKind = "bad_target" // a request target without a path; see hasPath

	// Not refusals of a request, but counted or logged with them.
	cutStream   refusalKind = "stream_cut"
	staleCookie refusalKind = "session_cookie_refused"
	// unknownProxy: a limit was reached by a peer that speaks for others.
	unknownProxy refusalKind = "unknown_proxy"
	staleToken   refusalKind = "machine_token_refused"
)

// hasPage tells whether people get a page about it. The others are for whoever
// runs the proxy that asked, or for what no browser sends.
func (k refusalKind) hasPage() bool {
	return k != badForward && k != unknownSite && k != notPassable && k != badTarget
}

func (k refusalKind) status() int {
	switch k {
	case badOrigin, insecureHTTP, badForward, badTarget:
		return http.StatusBadRequest
	case unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusForbidden
}

// refusals counts what gates did not let pass. Its values outlive a
// configuration.
var refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy", Subsystem: "gatehouse", Name: "refusals_total",
	Help: "Requests that a gate refused and streams that it cut, by reason. With report_only=\"true\" it would have.",
}, []string{"reason", "report_only"})

func countRefusal(kind refusalKind, reportOnly bool) {
	only := "false"
	if reportOnly {
		only = "true"
	}
	refusals.WithLabelValues(string(kind), only).Inc()
}

// retryAfter, in seconds, is what a 503 says: an app that is starting, or a
// store that comes back, is there by then or needs a person.
const retryAfter = "5"

// report counts a refusal and logs it, the latter at most once a minute for
// each client, reason and person.
func (v *visit) report(why refusal) {
	reportOnly := v.g != nil && v.g.ReportOnly
	countRefusal(why.kind, reportOnly)
	switch {
	case why.err != nil:
		v.note(why.kind, why.detail, zap.Error(why.err))
	case reportOnly || why.kind != loginRequired:
		v.note(why.kind, why.detail)
	}
}

// note writes one line, unless there was the same about this client within a
// minute: whoever sends bad cookies by the thousand must not fill the disk.
func (v *visit) note(kind refusalKind, detail string, more ...zap.Field) {
	client, who := v.client(), ""
	if v.session != nil {
		who = v.session.Subject
	}
	missed, ok := v.app.murmur.allow(client, kind, who, time.Now())
	if !ok {
		return
	}
	v.auditRefusal(kind)
	fields := append(more, zap.String("reason", string(kind)), zap.String("client_ip", client.String()),
		zap.String("host", quoted(v.r.Host)), zap.Int("suppressed", missed))
	if v.session != nil {
		fields = append(fields, zap.String("address", v.app.shown(v.session.Address)), zap.String("sub", who))
	}
	if detail != "" {
		fields = append(fields, zap.String("detail", detail))
	}
	switch {
	case kind == unknownProxy:
		v.run.log.Warn("a sign-in met a limit that all who come through this proxy share: it sends X-Forwarded-For and is not in Caddy's trusted_proxies; write in the global options servers { trusted_proxies static <its networks> }", fields...)
	case v.g != nil && v.g.ReportOnly:
		v.run.log.Warn("report_only: a gate would have refused this request", fields...)
	case kind == unavailable:
		v.run.log.Error("sessions can't be read; requests get a 503", fields...)
	case kind == staleCookie:
		v.run.log.Info("a session cookie stands for no live session", fields...)
	default:
		v.run.log.Info("a gate refused a request", fields...)
	}
}

// notStarted answers while the app is not there. Nothing can be told about the
// request, not even which pages to show.
func (v *visit) notStarted(err error, own bool) error {
	if v.g != nil && v.g.ReportOnly && !own {
		countRefusal(unavailable, true)
		return v.pass(false)
	}
	countRefusal(unavailable, false)
	if missed, ok := v.app.murmur.allow(v.client(), unavailable, "", time.Now()); ok {
		v.app.log.Error("a request came before gatehouse had started: "+err.Error(), zap.String("host", quoted(v.r.Host)), zap.Int("suppressed", missed))
	}
	h := v.w.Header()
	h.Set("Retry-After", retryAfter)
	h.Set("Cache-Control", "no-store")
	http.Error(v.w, "Sign-in is not available yet. Try again in a few seconds.", http.StatusServiceUnavailable)
	return nil
}
