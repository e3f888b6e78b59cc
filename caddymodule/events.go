package caddymodule

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// observe takes every event of the core. It must not block. Refusals that a
// client can cause without end are logged once a minute.
func (a *App) observe(e authcore.Event) {
	log := a.log
	if e.Name == authcore.EventRefused {
		missed, ok := a.murmur.allow(e.Client, refusalKind(e.Name), time.Now())
		if !ok {
			return
		}
		if missed > 0 {
			log = log.With(zap.Int("not_logged", missed))
		}
	}
	logEvent(log, e)
}

// logEvent writes an event as one line. Addresses are masked; the mark ties
// the lines about one person together.
func logEvent(log *zap.Logger, e authcore.Event) {
	fields := []zap.Field{zap.String("event", e.Name)}
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, zap.String(key, value))
		}
	}
	if !e.Address.IsZero() {
		add("address", e.Address.Masked())
	}
	add("mark", e.Mark)
	add("sub", e.Subject)
	add("sid", e.Session)
	add("challenge", e.Challenge)
	add("origin", e.Origin.String())
	if e.Client.IsValid() {
		add("client_ip", e.Client.String())
	}
	add("method", e.Method)
	add("reason", e.Reason)
	add("sender", e.Sender)
	add("detail", e.Detail)
	if e.Took > 0 {
		fields = append(fields, zap.Duration("took", e.Took))
	}
	switch e.Name {
	case authcore.EventMailFailed:
		log.Error("a mail was not sent", fields...)
	case authcore.EventAlarm:
		log.Error("many wrong codes: somebody may be guessing", fields...)
	case authcore.EventAnswer, authcore.EventRefused:
		log.Warn("sign-in refused", fields...)
	default:
		log.Info("sign-in", fields...)
	}
}

// observeList reports what became of a file: list.
func (a *App) observeList(e authcore.ListEvent) {
	log := a.log.With(zap.String("file", e.Path), zap.Stringer("state", e.State))
	switch e.State {
	case authcore.ListGood:
		log.Info("list of people taken over", zap.Int("entries", e.Entries))
	case authcore.ListBadLines:
		lines := make([]string, len(e.Bad))
		for i, bad := range e.Bad {
			lines[i] = fmt.Sprintf("line %d: %s", bad.Line, bad.Problem)
		}
		log.Error("list of people taken over without its bad lines, which admit nobody; mend them",
			zap.Int("entries", e.Entries), zap.Int("bad_lines", e.BadLines), zap.Strings("bad", lines))
	case authcore.ListHeld:
		log.Error("list of people can't be read; what it held stays in force for 60 s, and in deny without limit", zap.String("problem", e.Problem))
	case authcore.ListRefused:
		log.Error("list of people could not be read for 60 s and admits nobody now", zap.String("problem", e.Problem))
	}
}
