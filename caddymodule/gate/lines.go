package gate

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// LineLimit keeps the log readable, and the disk free, whatever clients send: one
// line a minute about each client and kind of event, or a few if they are about
// different people: many stand behind one address. The zero value is ready for
// use.
type LineLimit struct {
	mu   sync.Mutex
	said map[lineKey]*lines
}

type lineKey struct {
	client netip.Prefix
	kind   string
}

type lines struct {
	until  time.Time
	missed int
	about  []string // whom the lines since then are about
}

const (
	lineEvery = time.Minute
	// lineClients bounds the memory. When so many clients had their line
	// within a minute, others get none: that is an attack, and it is in the log.
	lineClients = 1024
	// linePeople bounds the lines of one client and kind within a minute.
	linePeople = 16
)

// Allow tells whether a line may be written, and how many were not since the
// last one. about is whom it is about, empty for nobody.
func (m *LineLimit) Allow(client netip.Addr, kind string, about string, now time.Time) (missed int, ok bool) {
	key := lineKey{oneClient(client), kind}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.said[key]; s != nil {
		if now.Before(s.until) {
			return 0, s.speakOf(about)
		}
		missed, s.missed, s.until = s.missed, 0, now.Add(lineEvery)
		s.about = append(s.about[:0], about)
		return missed, true
	}
	if len(m.said) >= lineClients {
		m.forget(now)
	}
	if len(m.said) >= lineClients {
		return 0, false
	}
	if m.said == nil {
		m.said = map[lineKey]*lines{}
	}
	m.said[key] = &lines{until: now.Add(lineEvery), about: []string{about}}
	return 0, true
}

// speakOf tells whether there may be another line within the minute: about
// somebody whom no other was about.
func (s *lines) speakOf(about string) bool {
	if slices.Contains(s.about, about) || len(s.about) >= linePeople {
		s.missed++
		return false
	}
	s.about = append(s.about, about)
	return true
}

func (m *LineLimit) forget(now time.Time) {
	for key, s := range m.said {
		if !now.Before(s.until) {
			delete(m.said, key)
		}
	}
}

// oneClient is the network that one client can be given: an IPv6 /64.
func oneClient(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
