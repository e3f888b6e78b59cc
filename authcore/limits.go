package authcore

import (
	"net/netip"
	"slices"
	"time"
)

// Rate allows Count events in any span of length Per.
type Rate struct {
	Count int
	Per   time.Duration
}

// Limits bounds sign-ins. Each list of rates holds at once.
type Limits struct {
	PerRecipient []Rate // starts and mails for one address
	PerClient    []Rate // starts from one client network (/32, /64)
	Global       []Rate // mails in all; see budget.go for who gets which part
	Failures     []Rate // wrong codes for one address, over all its challenges
}

// DefaultLimits are the limits of an instance that configures none. Failures
// bounds guessing: with 30 tries in 30 days at a code of six digits, 0.0365 %
// a year for one account under sustained attack.
func DefaultLimits() Limits {
	const day = 24 * time.Hour
	return Limits{
		PerRecipient: []Rate{{1, time.Minute}, {5, time.Hour}, {10, day}},
		PerClient:    []Rate{{300, 10 * time.Minute}},
		Global:       []Rate{{600, time.Minute}},
		Failures:     []Rate{{10, day}, {30, 30 * day}},
	}
}

// widerClient is how many times the limit of one IPv6 /64 all of its /48 may
// reach: a /48 is what one subscriber can be given.
const widerClient = 10

// clientNetworks returns the networks that one client's starts count for, the
// narrow one first. An address that is not known counts as one client.
func clientNetworks(a netip.Addr) []netip.Prefix {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	if a.Is4() {
		return []netip.Prefix{netip.PrefixFrom(a, 32)}
	}
	narrow, _ := a.Prefix(64)
	wide, _ := a.Prefix(48)
	return []netip.Prefix{narrow, wide}
}

// counter is one tally in the store.
type counter struct {
	key   string
	rates []Rate
	t     tally
}

// counters are the tallies that one transaction looks at.
type counters []*counter

func (cs counters) load(tx Tx) error {
	keys := make([]string, len(cs))
	for i, c := range cs {
		keys[i] = c.key
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return err
	}
	for i, c := range cs {
		c.t = nil
		if values[i] == nil {
			continue
		}
		if err := c.t.parse(values[i]); err != nil {
			return brokenRecord(c.key, err)
		}
	}
	return nil
}

// wait returns the longest wait of all counters.
func (cs counters) wait(now time.Time) time.Duration {
	var wait time.Duration
	for _, c := range cs {
		wait = max(wait, c.t.wait(now, c.rates))
	}
	return wait
}

// count adds one event to each counter.
func (cs counters) count(tx Tx, now time.Time) {
	for _, c := range cs {
		c.t = c.t.add(now, 1, c.rates)
		tx.Put(c.key, c.t.text(), now.Add(longest(c.rates)))
	}
}

func times(rates []Rate, n int) []Rate {
	out := slices.Clone(rates)
	for i := range out {
		out[i].Count *= n
	}
	return out
}

func (l Limits) client(a netip.Addr) counters {
	var cs counters
	for i, p := range clientNetworks(a) {
		rates := l.PerClient
		if i > 0 {
			rates = times(rates, widerClient)
		}
		cs = append(cs, &counter{key: keyLimit + "client/" + p.String(), rates: rates})
	}
	return cs
}

// recipient counts mails for an address. Browsers that have proved the address
// have a budget of their own, so that strangers can't use up a person's mails.
func (l Limits) recipient(a Address, known bool) *counter {
	return &counter{key: recipientKey(a.String(), known), rates: l.PerRecipient}
}

func recipientKey(contact string, known bool) string {
	return keyLimit + "recipient/" + group(known) + hashToken(contact)
}

// failures counts wrong codes for an address, apart for browsers that have
// proved it: nobody can lock a person out of code entry in a known browser.
func (l Limits) failures(a Address, known bool) *counter {
	return &counter{key: keyLimit + "failures/" + group(known) + hashToken(a.String()), rates: l.Failures}
}

func group(known bool) string {
	if known {
		return "known/"
	}
	return "other/"
}
