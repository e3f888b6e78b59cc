package gate

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
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
	notAllowed                = refusalKind(screen.NotAllowed)
	clientRefused             = refusalKind(screen.ClientIP)
	badOrigin                 = refusalKind(screen.BadOrigin)
	insecureHTTP              = refusalKind(screen.InsecureHTTP)
	badWebSocket              = refusalKind(screen.BadWebSocketOrigin)
	unavailable               = refusalKind(screen.Unavailable)
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

// retryAfter, in seconds, is what a 503 says: an app that is starting, or a
// store that comes back, is there by then or needs a person.
const retryAfter = "5"

// report counts a refusal and logs it, the latter at most once a minute for
// each client, reason and person.
func (q *request) report(why refusal) {
	reportOnly := q.gate != nil && q.gate.ReportOnly
	q.house.count(why.kind, reportOnly)
	switch {
	case why.err != nil:
		q.note(why.kind, why.detail, slog.Any("error", why.err))
	case reportOnly || why.kind != loginRequired:
		q.note(why.kind, why.detail)
	}
}

// note writes one line, unless there was the same about this client within a
// minute: whoever sends bad cookies by the thousand must not fill the disk.
func (q *request) note(kind refusalKind, detail string, more ...slog.Attr) {
	client, who := q.client(), ""
	if q.session != nil {
		who = q.session.Subject
	}
	missed, ok := q.house.Lines.Allow(client, string(kind), who, time.Now())
	if !ok {
		return
	}
	q.auditRefusal(kind)
	fields := append(more, slog.String("reason", string(kind)), slog.String("client_ip", client.String()),
		slog.String("host", web.Quoted(q.r.Host)), slog.Int("suppressed", missed))
	if lines := q.r.Header["X-Forwarded-Host"]; len(lines) > 0 {
		fields = append(fields, slog.String("forwarded_host", web.Quoted(strings.Join(lines, ", "))))
	}
	if q.session != nil {
		fields = append(fields, slog.String("address", q.house.shown(q.session.Address)), slog.String("sub", who))
	}
	if detail != "" {
		fields = append(fields, slog.String("detail", detail))
	}
	level, text := slog.LevelInfo, "a gate refused a request"
	switch {
	case kind == unknownProxy:
		level, text = slog.LevelWarn, "a sign-in met a limit that all who come through this proxy share: it sends X-Forwarded-For and is not in Caddy's trusted_proxies; write in the global options servers { trusted_proxies static <its networks> }"
	case q.gate != nil && q.gate.ReportOnly:
		level, text = slog.LevelWarn, "report_only: a gate would have refused this request"
	case kind == unavailable:
		level, text = slog.LevelError, "sessions can't be read; requests get a 503"
	case kind == staleCookie:
		text = "a session cookie stands for no live session"
	}
	q.house.log().LogAttrs(context.Background(), level, text, fields...)
}

// auditRefusal reports a refusal that is about a person or a network. Visitors
// who have yet to sign in are no event.
func (q *request) auditRefusal(kind refusalKind) {
	if q.run == nil || kind != notAllowed && kind != clientRefused {
		return
	}
	e := event.Event{Name: EventAccess, Origin: q.origin.String(), Client: q.client(), Reason: string(kind)}
	if s := q.session; s != nil {
		e.Address, e.Subject, e.Session = s.Address, s.Subject, s.ID
	}
	if q.gate != nil && q.gate.ReportOnly {
		e.Detail = "report_only"
	}
	q.run.Service.Report(e)
}

// EventAccess is the event of a request that was refused to somebody who is
// signed in, or whose network may not ask at all.
const EventAccess = "access_refused"

// notStarted answers while the app is not there. Nothing can be told about the
// request, not even which pages to show.
func (q *request) notStarted(err error, own bool) error {
	if q.gate != nil && q.gate.ReportOnly && !own {
		q.house.count(unavailable, true)
		return q.pass()
	}
	q.house.count(unavailable, false)
	if missed, ok := q.house.Lines.Allow(q.client(), string(unavailable), "", time.Now()); ok {
		q.house.log().Error("a request came before gatehouse had started: "+err.Error(), slog.String("host", web.Quoted(q.r.Host)), slog.Int("suppressed", missed))
	}
	h := q.w.Header()
	h.Set("Retry-After", retryAfter)
	h.Set("Cache-Control", "no-store")
	http.Error(q.w, "Sign-in is not available yet. Try again in a few seconds.", http.StatusServiceUnavailable)
	return nil
}

// refusalOf puts the judgement of the site's rule into the words of a gate.
func refusalOf(j session.Judgement) refusal {
	switch j.Decision {
	case session.Allowed:
		return refusal{}
	case session.SignInFirst:
		return refusal{kind: loginRequired, maxAge: j.MaxAge}
	case session.CannotTell:
		return refusal{kind: unavailable, err: j.Err}
	case session.BeyondToken:
		return refusal{kind: notAllowed, detail: "This token is not good for this " + j.Beyond + "."}
	}
	return refusal{kind: notAllowed}
}
