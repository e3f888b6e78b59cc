package gate

import (
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestLinesAreBounded(t *testing.T) {
	var m LineLimit
	now := time.Now()
	addr := netip.MustParseAddr("10.0.0.0")
	said := 0
	for range 5000 {
		if _, ok := m.Allow(addr, "cookie", "", now); ok {
			said++
		}
		addr = addr.Next()
	}
	if said != lineClients || len(m.said) != lineClients {
		t.Errorf("%d lines, %d clients in memory", said, len(m.said))
	}
	if _, ok := m.Allow(addr, "cookie", "", now.Add(lineEvery)); !ok {
		t.Error("room is not made again")
	}
	one := netip.MustParseAddr("2001:db8::1")
	m = LineLimit{}
	m.Allow(one, "cookie", "", now)
	if _, ok := m.Allow(one.Next(), "cookie", "", now); ok {
		t.Error("a /64 is one client")
	}
	if missed, ok := m.Allow(one, "cookie", "", now.Add(lineEvery)); !ok || missed != 1 {
		t.Errorf("missed %d", missed)
	}
	// Many people stand behind one address: a line for each, but not endless.
	said = 0
	for i := range 100 {
		for range 2 {
			if _, ok := m.Allow(one, "refused", strconv.Itoa(i), now); ok {
				said++
			}
		}
	}
	if said != linePeople {
		t.Errorf("%d lines about 100 people", said)
	}
	if missed, ok := m.Allow(one, "refused", "0", now.Add(lineEvery)); !ok || missed != 200-linePeople {
		t.Errorf("missed %d", missed)
	}
}
