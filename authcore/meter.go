package authcore

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Quota is what is left of a Rate, for the headers that tell a client.
type Quota struct {
	Limit     int
	Remaining int
	Reset     time.Time // when the count begins anew
	Over      bool      // this call is one too many
}

// meter counts calls in fixed windows. It is in memory and this node's own: it
// bounds load, not guesses, and a write to the store for each call would cost
// more than the call. Guesses and mails are counted in the store.
type meter struct {
	mu      sync.Mutex
	windows map[string]window
	swept   time.Time
}

type window struct {
	ends  time.Time
	count int
}

// meterSize bounds the memory: names beyond it share one window.
const meterSize = 100_000

func newMeter() *meter { return &meter{windows: map[string]window{}} }

// Count counts one call for name, which has rate r, and tells what is left. A
// refused call is not counted. The name must not hold a secret.
func (c *Core) Count(name string, r Rate) Quota {
	return c.meter.count(name, r, c.now())
}

// CountClient counts one call for name from a client, at the rates of
// per_client: a /64 counts as one. It is for calls that store nothing.
func (s *Service) CountClient(name string, a netip.Addr) Quota {
	var tightest Quota
	for i, r := range s.cfg.Limits.PerClient {
		q := s.core.Count(fmt.Sprintf("%s %s %d", name, clientNetworks(a)[0], i), r)
		if i == 0 || q.Over || !tightest.Over && q.Remaining < tightest.Remaining {
			tightest = q
		}
	}
	return tightest
}

func (m *meter) count(name string, r Rate, now time.Time) Quota {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	w, known := m.windows[name]
	if !known && len(m.windows) >= meterSize {
		name = ""
		w = m.windows[name]
	}
	if !now.Before(w.ends) || w.ends.Sub(now) > r.Per { // a new window; also when the clock went back
		w = window{ends: now.Truncate(time.Second).Add(r.Per)}
	}
	q := Quota{Limit: r.Count, Reset: w.ends, Over: w.count >= r.Count}
	if !q.Over {
		w.count++
	}
	q.Remaining = max(r.Count-w.count, 0)
	m.windows[name] = w
	return q
}

// sweep forgets windows that are over, once a minute.
func (m *meter) sweep(now time.Time) {
	if now.Sub(m.swept) < time.Minute && !now.Before(m.swept) {
		return
	}
	m.swept = now
	for name, w := range m.windows {
		if !now.Before(w.ends) {
			delete(m.windows, name)
		}
	}
}
