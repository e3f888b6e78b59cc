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
	mu     sync.Mutex
	groups map[string]map[string]window // by name, then by who calls
	swept  time.Time
}

type window struct {
	ends  time.Time
	count int
}

// meterSize bounds how many callers one name remembers. Beyond it one of them is
// forgotten: a flood of callers makes room for itself, and refuses nobody.
const meterSize = 10_000

func newMeter() *meter { return &meter{groups: map[string]map[string]window{}} }

// Count counts one call for name, which has rate r, and tells what is left. A
// refused call is not counted. Names come from the configuration, and hold no
// secret; who calls does not belong in one.
func (c *Core) Count(name string, r Rate) Quota { return c.CountOf(name, "", r) }

// CountOf is Count for each who by itself, of whom there may be any number.
func (c *Core) CountOf(name, who string, r Rate) Quota {
	return c.meter.count(name, who, r, c.now())
}

// CountFrom is CountOf for a client: a /64 counts as one, and all of a /48 as
// ten.
func (c *Core) CountFrom(name string, a netip.Addr, r Rate) Quota {
	networks := clientNetworks(a)
	q := c.CountOf(name, networks[0].String(), r)
	if q.Over || len(networks) == 1 {
		return q
	}
	r.Count *= widerClient
	if wide := c.CountOf(name, networks[1].String(), r); wide.Over {
		q.Over, q.Remaining, q.Reset = true, 0, wide.Reset
	}
	return q
}

// CountClient counts one call for name from a client, at the rates of
// per_client. It is for calls that store nothing.
func (s *Service) CountClient(name string, a netip.Addr) Quota {
	var tightest Quota
	for i, r := range s.cfg.Limits.PerClient {
		q := s.core.CountFrom(fmt.Sprintf("%s %d", name, i), a, r)
		if i == 0 || q.Over || !tightest.Over && q.Remaining < tightest.Remaining {
			tightest = q
		}
	}
	return tightest
}

func (m *meter) count(name, who string, r Rate, now time.Time) Quota {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	windows := m.groups[name]
	if windows == nil {
		windows = map[string]window{}
		m.groups[name] = windows
	}
	w, known := windows[who]
	if !known && len(windows) >= meterSize {
		for other := range windows {
			delete(windows, other)
			break
		}
	}
	if !now.Before(w.ends) || w.ends.Sub(now) > r.Per { // a new window; also when the clock went back
		w = window{ends: now.Truncate(time.Second).Add(r.Per)}
	}
	q := Quota{Limit: r.Count, Reset: w.ends, Over: w.count >= r.Count}
	if !q.Over {
		w.count++
	}
	q.Remaining = max(r.Count-w.count, 0)
	windows[who] = w
	return q
}

// sweep forgets windows that are over, once a minute.
func (m *meter) sweep(now time.Time) {
	if now.Sub(m.swept) < time.Minute && !now.Before(m.swept) {
		return
	}
	m.swept = now
	for name, windows := range m.groups {
		for who, w := range windows {
			if !now.Before(w.ends) {
				delete(windows, who)
			}
		}
		if len(windows) == 0 {
			delete(m.groups, name)
		}
	}
}
