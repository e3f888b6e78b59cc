package authcore

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

func meterCore(now *time.Time) *Core {
	return &Core{meter: limit.NewMeter(), now: func() time.Time { return *now }}
}

// More callers than fit neither share a window nor touch another name's.
func TestMeterIsBoundedByName(t *testing.T) {
	now := time.Now()
	c, rate := meterCore(&now), limit.Rate{Count: 3, Per: time.Minute}
	for range 3 {
		c.Count("key", rate)
		c.CountOf("page", "mine", rate)
	}
	for i := range 3 * limit.MeterSize {
		if q := c.CountOf("page", fmt.Sprint(i), rate); q.Over || q.Remaining != 2 {
			t.Fatalf("caller %d of a flood: %+v", i, q)
		}
	}
	if q := c.Count("key", rate); !q.Over {
		t.Error("a flood of callers gave a key new calls")
	}
	if q := c.Count("another key", rate); q.Over {
		t.Error("a flood of callers took another key's calls")
	}
	if n := c.meter.Callers("page"); n > limit.MeterSize {
		t.Errorf("%d callers are remembered", n)
	}
	now = now.Add(2 * time.Minute)
	if c.Count("key", rate); c.meter.Names() != 1 {
		t.Error("windows that are over are kept")
	}
}

// A /64 is one client, a /48 ten.
func TestMeterCountsNetworks(t *testing.T) {
	now := time.Now()
	c, rate := meterCore(&now), limit.Rate{Count: 5, Per: time.Minute}
	for i := range 5 {
		c.CountFrom("x", netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%d", i+1)), rate)
	}
	if q := c.CountFrom("x", netip.MustParseAddr("2001:db8:1:2:ffff::1"), rate); !q.Over {
		t.Error("another address of the same /64 has its own calls")
	}
	over := 0
	for i := range 100 {
		if c.CountFrom("x", netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%x::1", i+16)), rate).Over {
			over++
		}
	}
	if over != 100-45 {
		t.Errorf("of 100 networks of a /48 %d were refused, want 55", over)
	}
	if q := c.CountFrom("x", netip.MustParseAddr("2001:db8:2::1"), rate); q.Over {
		t.Error("another /48 was refused")
	}
	for range 5 {
		c.CountFrom("x", netip.MustParseAddr("192.0.2.1"), rate)
	}
	if !c.CountFrom("x", netip.MustParseAddr("::ffff:192.0.2.1"), rate).Over || c.CountFrom("x", netip.MustParseAddr("192.0.2.2"), rate).Over {
		t.Error("an IPv4 address is one client, in either form")
	}
}
