package limit

import (
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

// Meter counts calls in fixed windows. It is in memory and this node's own: it
// bounds load, not guesses, and a write to the store for each call would cost
// more than the call. Guesses and mails are counted in the store.
type Meter struct {
	mu     sync.Mutex
	groups map[string]map[string]window // by name, then by who calls
	swept  time.Time
}

type window struct {
	ends  time.Time
	count int
}

// MeterSize bounds how many callers one name remembers. Beyond it one of them is
// forgotten: a flood of callers makes room for itself, and refuses nobody.
const MeterSize = 10_000

// NewMeter returns a meter that has counted nothing.
func NewMeter() *Meter { return &Meter{groups: map[string]map[string]window{}} }

// Count counts one call of who for name, at rate r, and tells what is left. A
// refused call is not counted.
func (m *Meter) Count(name, who string, r Rate, now time.Time) Quota {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	windows := m.groups[name]
	if windows == nil {
		windows = map[string]window{}
		m.groups[name] = windows
	}
	w, known := windows[who]
	if !known && len(windows) >= MeterSize {
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
func (m *Meter) sweep(now time.Time) {
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

// Callers is how many callers of name are remembered.
func (m *Meter) Callers(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.groups[name])
}

// Names is how many names are counted.
func (m *Meter) Names() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.groups)
}
