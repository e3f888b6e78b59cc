package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
)

// emitted are the events that Caddy's events app hears of.
var emitted = map[string]string{
	event.SignedIn:   "gatehouse_signed_in",
	event.Refused:    "gatehouse_refused",
	event.Answer:     "gatehouse_refused",
	gate.EventAccess: "gatehouse_refused",
	event.SignedOut:  "gatehouse_signed_out",
	event.Ended:      "gatehouse_revoked",
	event.Revoked:    "gatehouse_revoked",
}

const (
	// emitQueue bounds the events that wait for their handlers; more are
	// dropped, because nobody who signs in shall wait for them.
	emitQueue = 256
	// emitGrace is how long a configuration waits for handlers when it ends.
	emitGrace = time.Second
)

// emitter hands events to Caddy's events app, beside requests.
type emitter struct {
	app   *caddyevents.App
	queue chan event.Event
	done  chan struct{}
}

// startEmitter does nothing unless the events app is configured.
func (a *App) startEmitter() {
	app, err := a.ctx.AppIfConfigured("events")
	if err != nil {
		return
	}
	e := &emitter{app: app.(*caddyevents.App), queue: make(chan event.Event, emitQueue), done: make(chan struct{})}
	go func() {
		defer close(e.done)
		for event := range e.queue {
			e.app.Emit(a.ctx, emitted[event.Name], a.data(event))
		}
	}()
	a.emitter.Store(e)
	a.releases = append(a.releases, func() {
		a.emitting.Lock()
		a.emitter.Store(nil)
		close(e.queue)
		a.emitting.Unlock()
		select {
		case <-e.done:
		case <-time.After(emitGrace):
		}
	})
}

// emit queues an event that somebody listens for.
func (a *App) emit(event event.Event) {
	name, ok := emitted[event.Name]
	if !ok || a.emitter.Load() == nil {
		return
	}
	a.emitting.RLock()
	defer a.emitting.RUnlock()
	e := a.emitter.Load()
	if e == nil || !e.app.ShouldEmit(name) {
		return
	}
	select {
	case e.queue <- event:
	default:
		metrics.Dropped()
	}
}

// data is what handlers get. Addresses are as in the audit log: Caddy writes
// this to its debug log.
func (a *App) data(e event.Event) map[string]any {
	return map[string]any{
		"event": e.Name, "address": a.shown(e.Address), "mark": e.Mark, "sub": e.Subject, "sid": e.Session,
		"challenge": e.Challenge, "origin": e.Origin, "client_ip": clientText(e),
		"method": e.Method, "reason": e.Reason, "at": e.At.UTC().Format(time.RFC3339),
	}
}
