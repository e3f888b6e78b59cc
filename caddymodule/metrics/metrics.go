// Package metrics is what /metrics shows: what the core and the gates report, counted,
// how long the store takes, and how the instance is at the moment of a scrape.
//
//	metrics.Register(registry, now)   at each configuration; values go on over reloads
//	metrics.Count(event)              what the core reports
//	metrics.Gates                     what gates do, as their gate.Observer
//	metrics.Store                     a store that is measured
//	metrics.Now                       what is asked at a scrape
//
// It knows no Caddy, and decides nothing by what it counts.
//
// State of the process: all counts.
package metrics

import (
	"cmp"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// A server makes a new registry at each reload. The collectors belong to the
// package and are registered again, so that their values go on.
//
// Labels have words of our own, or names that stand in the configuration:
// nothing that a visitor can choose.
var (
	challenges = counter("challenges_total", "Codes that were asked for, by what came of it: begun, already_sent, resent, renewed, or why nothing was sent.", "result")
	answers    = counter("answers_total", "Codes and links that were answered, by what came of it; accepted is a sign-in.", "result")
	signIns    = counter("sign_ins_total", "Sign-ins, by method.", "method")
	endings    = counter("sessions_ended_total", "Sessions that were ended before their time, by reason.", "reason")
	alarms     = counter("alarms_total", "Times that wrong codes in all were far above the usual.")
	reloads    = counter("reloads_total", "Configurations that were put into use after the first.", "result")
	droppedAll = counter("events_dropped_total", "Events for Caddy's events app that were dropped because its handlers are too slow.")
	dropped    = droppedAll.WithLabelValues()
	alarmed    = alarms.WithLabelValues()

	refusals = counter("refusals_total", "Requests that a gate refused and streams that it cut, by reason. With report_only=\"true\" it would have.", "reason", "report_only")

	checks = histogram("check_seconds", "Time that a gate took to decide about a request, by what it decided.",
		[]float64{2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 0.1, 1}, "result")
	mails = histogram("mail_seconds", "Time that a sender took for a mail, by what came of it: sent, deferred, rejected or sender_down.",
		[]float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}, "sender", "result")
	storeCalls = histogram("store_seconds", "Time that the store took, by kind of transaction.",
		[]float64{1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1, 5}, "op")
	storeErrors = counter("store_errors_total", "Transactions that failed because of the store.", "op")
)

const namespace = "caddy_gatehouse"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// begin makes the series of a counter that alerts and panels go by. One that
// appears with its first event has no increase by it, and an alert would miss
// it.
func begin(c *prometheus.CounterVec, words ...string) {
	for _, word := range words {
		c.WithLabelValues(word)
	}
}

func init() {
	begin(challenges, "begun", "already_sent", "resent", "renewed", "not_allowed", "paused", "held", "limited", "mail_down")
	begin(answers, "accepted", "wrong_code", "locked", "codes_off", "malformed", "expired", "used", "unknown", "no_flow", "other_browser")
	begin(signIns, "code", "link")
	begin(endings, "signed_out", "replaced", "ended_by_owner", "revoked", "keys_revoked")
	begin(reloads, "ok", "failed")
	begin(storeErrors, "view", "update")
}

// Collectors are all that /metrics shows of us. now is asked at each scrape.
func Collectors(now func() *Now) []prometheus.Collector {
	return []prometheus.Collector{
		challenges, answers, signIns, endings, alarms, reloads, droppedAll, refusals,
		checks, mails, storeCalls, storeErrors, condition{now},
	}
}

// Register has registry show them.
func Register(registry *prometheus.Registry, now func() *Now) error {
	for _, c := range Collectors(now) {
		err := registry.Register(c)
		if known := new(prometheus.AlreadyRegisteredError); err != nil && !errors.As(err, known) {
			return err
		}
	}
	return nil
}

// Count counts what the core reports.
func Count(e event.Event) {
	switch e.Name {
	case event.Begin:
		challenges.WithLabelValues(cmp.Or(e.Reason, "begun")).Inc()
	case event.Refused:
		challenges.WithLabelValues(e.Reason).Inc()
	case event.Answer:
		answers.WithLabelValues(e.Reason).Inc()
	case event.SignedIn:
		answers.WithLabelValues("accepted").Inc()
		signIns.WithLabelValues(e.Method).Inc()
	case event.SignedOut, event.Ended, event.Revoked:
		endings.WithLabelValues(e.Reason).Inc()
	case event.MailSent, event.TextSent:
		mails.WithLabelValues(e.Sender, "sent").Observe(e.Took.Seconds())
	case event.MailFailed, event.TextFailed:
		mails.WithLabelValues(cmp.Or(e.Sender, "none"), e.Reason).Observe(e.Took.Seconds())
	case event.Alarm:
		alarmed.Inc()
	}
}

// Reloaded counts a configuration that came after another one, "ok" or "failed".
func Reloaded(result string) { reloads.WithLabelValues(result).Inc() }

// Dropped counts an event that nobody had time for.
func Dropped() { dropped.Inc() }

// decided are the outcomes of a check. Their observers are looked up once: a check
// takes about a microsecond.
var decided = [...]prometheus.Observer{
	gate.Admitted:      checks.WithLabelValues("admitted"),
	gate.Anonymous:     checks.WithLabelValues("public"),
	gate.Refused:       checks.WithLabelValues("refused"),
	gate.LoginRequired: checks.WithLabelValues("login_required"),
	gate.Failed:        checks.WithLabelValues("unavailable"),
}

// Gates counts what gates do.
type Gates struct{}

// Refused implements gate.Observer.
func (Gates) Refused(reason string, reportOnly bool) {
	only := "false"
	if reportOnly {
		only = "true"
	}
	refusals.WithLabelValues(reason, only).Inc()
}

// Decided implements gate.Observer.
func (Gates) Decided(outcome gate.Outcome, took time.Duration) {
	decided[outcome].Observe(took.Seconds())
}
