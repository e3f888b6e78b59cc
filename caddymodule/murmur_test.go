package caddymodule

import (
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestMurmurIsBounded(t *testing.T) {
	var m murmur
	now := time.Now()
	addr := netip.MustParseAddr("10.0.0.0")
	said := 0
	for range 5000 {
		if _, ok := m.allow(addr, staleCookie, "", now); ok {
			said++
		}
		addr = addr.Next()
	}
	if said != murmurClients || len(m.said) != murmurClients {
		t.Errorf("%d lines, %d clients in memory", said, len(m.said))
	}
	if _, ok := m.allow(addr, staleCookie, "", now.Add(murmurEvery)); !ok {
		t.Error("room is not made again")
	}
	one := netip.MustParseAddr("2001:db8::1")
	m = murmur{}
	m.allow(one, staleCookie, "", now)
	if _, ok := m.allow(one.Next(), staleCookie, "", now); ok {
		t.Error("a /64 is one client")
	}
	if missed, ok := m.allow(one, staleCookie, "", now.Add(murmurEvery)); !ok || missed != 1 {
		t.Errorf("missed %d", missed)
	}
	// Many people stand behind one address: a line for each, but not endless.
	said = 0
	for i := range 100 {
		for range 2 {
			if _, ok := m.allow(one, notAllowed, strconv.Itoa(i), now); ok {
				said++
			}
		}
	}
	if said != murmurPeople {
		t.Errorf("%d lines about 100 people", said)
	}
	if missed, ok := m.allow(one, notAllowed, "0", now.Add(murmurEvery)); !ok || missed != 200-murmurPeople {
		t.Errorf("missed %d", missed)
	}
}
