package authcore

import (
	"fmt"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

// Count counts one call for name, which has rate r, and tells what is left. A
// refused call is not counted. Names come from the configuration, and hold no
// secret; who calls does not belong in one.
func (c *Core) Count(name string, r limit.Rate) limit.Quota { return c.CountOf(name, "", r) }

// CountOf is Count for each who by itself, of whom there may be any number.
func (c *Core) CountOf(name, who string, r limit.Rate) limit.Quota {
	return c.meter.Count(name, who, r, c.now())
}

// CountFrom is CountOf for a client: a /64 counts as one, and all of a /48 as
// ten.
func (c *Core) CountFrom(name string, a netip.Addr, r limit.Rate) limit.Quota {
	networks := limit.ClientNetworks(a)
	q := c.CountOf(name, networks[0].String(), r)
	if q.Over || len(networks) == 1 {
		return q
	}
	r.Count *= limit.WiderClient
	if wide := c.CountOf(name, networks[1].String(), r); wide.Over {
		q.Over, q.Remaining, q.Reset = true, 0, wide.Reset
	}
	return q
}

// CountClient counts one call for name from a client, at the rates of
// per_client. It is for calls that store nothing.
func (s *Service) CountClient(name string, a netip.Addr) limit.Quota {
	var tightest limit.Quota
	for i, r := range s.cfg.Limits.PerClient {
		q := s.core.CountFrom(fmt.Sprintf("%s %d", name, i), a, r)
		if i == 0 || q.Over || !tightest.Over && q.Remaining < tightest.Remaining {
			tightest = q
		}
	}
	return tightest
}
