package caddymodule

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
)

// What the option audit may say.
const (
	auditOn   = "on"   // the default: addresses are masked
	auditFull = "full" // addresses in full
	auditOff  = "off"
)

// EventConfig is the audit event of a configuration that was put into use.
const EventConfig = "configuration_loaded"

func (a *App) checkAudit() error {
	if a.Audit != "" && !slices.Contains([]string{auditOn, auditFull, auditOff}, a.Audit) {
		return fmt.Errorf("audit %q: write on, full (addresses are not masked) or off", a.Audit)
	}
	return nil
}

// observe takes every event of the core. It must not block. What one client can
// cause without end is counted each time, but logged and handed on once a minute
// for each person it is about.
func (a *App) observe(e event.Event) {
	metrics.Count(e)
	missed := 0
	if endless(e) {
		var ok bool
		if missed, ok = a.house.Lines.Allow(e.Client, e.Name+" "+e.Reason, e.Mark, time.Now()); !ok {
			return
		}
	}
	a.audit(e, missed)
	a.emit(e)
}

// endless tells whether nothing but the patience of a client bounds how often
// an event happens. Wrong codes are bounded by the tries.
func endless(e event.Event) bool {
	switch e.Name {
	case event.Refused, event.Link:
		return true
	case event.Answer:
		return e.Reason != event.Wrong.String()
	}
	return false
}

// audit writes one line for an event. Names and fields are documented in
// docs/audit.md and stable. No field ever holds a code, a token or a cookie:
// events have none. Without an audit log, what an operator has to do something
// about still goes to the ordinary log.
func (a *App) audit(e event.Event, missed int) {
	level, log := auditLevel(e), a.log
	if !log.Core().Enabled(level) || a.Audit == auditOff && level < zapcore.ErrorLevel {
		return
	}
	if a.Audit != auditOff {
		log = log.Named("audit")
	}
	fields := a.fields(e)
	if missed > 0 {
		fields = append(fields, zap.Int("not_logged", missed))
	}
	log.Log(level, e.Name, fields...)
}

func auditLevel(e event.Event) zapcore.Level {
	switch e.Name {
	case event.MailFailed, event.TextFailed, event.Alarm:
		return zapcore.ErrorLevel
	case event.Answer, event.Refused, gate.EventAccess:
		return zapcore.WarnLevel
	case event.MailReport:
		if e.Reason == string(challenge.OutcomeBounced) || e.Reason == string(challenge.OutcomeComplained) {
			return zapcore.WarnLevel
		}
	}
	return zapcore.InfoLevel
}

func (a *App) fields(e event.Event) []zap.Field {
	fields := append(make([]zap.Field, 0, 16), zap.String("event", e.Name))
	for _, f := range []struct{ key, value string }{
		{"address", a.shown(e.Address)},
		{"mark", e.Mark},
		{"sub", e.Subject},
		{"sid", e.Session},
		{"challenge", e.Challenge},
		{"origin", e.Origin},
		{"client_ip", clientText(e)},
		{"method", e.Method},
		{"reason", e.Reason},
		{"sender", e.Sender},
		{"message_id", e.Message},
		{"letter", e.Letter},
		{"detail", e.Detail},
		{"app", e.App},
		{"operator", e.Operator},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	if e.Took > 0 {
		fields = append(fields, zap.Duration("took", e.Took))
	}
	if !e.Expires.IsZero() {
		fields = append(fields, zap.Time("expires", e.Expires))
	}
	return fields
}

// shown is as much of an address as the audit log may hold.
func (a *App) shown(address address.Address) string {
	if a.Audit == auditFull {
		return address.String()
	}
	return address.Masked()
}

func clientText(e event.Event) string {
	if !e.Client.IsValid() {
		return ""
	}
	return e.Client.String()
}
