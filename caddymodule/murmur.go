package caddymodule

import (
	"net/netip"
	"sync"
	"time"
)

// murmur keeps the log readable, and the disk free, whatever clients send: one
// line a minute about each client and subject. The zero value is ready for use.
type murmur struct {
	mu   sync.Mutex
	said map[murmurKey]*murmured
}

type murmurKey struct {
	client netip.Prefix
	kind   refusalKind
}

type murmured struct {
	until  time.Time
	missed int
}

const (
	murmurEvery = time.Minute
	// murmurClients bounds the memory. When so many clients had their line
	// within a minute, others get none: that is an attack, and it is in the log.
	murmurClients = 1024
)

// allow tells whether a line may be written, and how many were not since the
// last one.
func (m *murmur) allow(client netip.Addr, kind refusalKind, now time.Time) (missed int, ok bool) {
	key := murmurKey{oneClient(client), kind}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.said[key]; s != nil {
		if now.Before(s.until) {
			s.missed++
			return 0, false
		}
		missed, s.missed, s.until = s.missed, 0, now.Add(murmurEvery)
		return missed, true
	}
	if len(m.said) >= murmurClients {
		m.forget(now)
	}
	if len(m.said) >= murmurClients {
		return 0, false
	}
	if m.said == nil {
		m.said = map[murmurKey]*murmured{}
	}
	m.said[key] = &murmured{until: now.Add(murmurEvery)}
	return 0, true
}

func (m *murmur) forget(now time.Time) {
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
