package limit

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
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
	Global       []Rate // mails in all; outbox/budget.go has who gets which part
	Failures     []Rate // wrong codes for one address, over all its challenges
}

// Default are the limits of an instance that configures none. Failures
// bounds guessing: with 30 tries in 30 days at a code of six digits, 0.0365 %
// a year for one account under sustained attack.
func Default() Limits {
	const day = 24 * time.Hour
	return Limits{
		PerRecipient: []Rate{{1, time.Minute}, {5, time.Hour}, {10, day}},
		PerClient:    []Rate{{300, 10 * time.Minute}},
		Global:       []Rate{{600, time.Minute}},
		Failures:     []Rate{{10, day}, {30, 30 * day}},
	}
}

// WiderClient is how many times the limit of one IPv6 /64 all of its /48 may
// reach: a /48 is what one subscriber can be given.
const WiderClient = 10

// ClientNetworks returns the networks that one client's starts count for, the
// narrow one first. An address that is not known counts as one client.
func ClientNetworks(a netip.Addr) []netip.Prefix {
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

// Counter is one tally in the store.
type Counter struct {
	key   string
	rates []Rate
	T     tally
}

// NewCounter returns the counter of a name, to be loaded.
func NewCounter(name string, rates []Rate) *Counter {
	return &Counter{key: store.KeyLimit + name, rates: rates}
}

// left is how many more events fit now.
func (c *Counter) left(now time.Time) int { return c.T.left(now, c.rates) }

// Within is how many events fit into a span of length d, about.
func (c *Counter) Within(d time.Duration) int {
	most := math.MaxInt
	for _, r := range c.rates {
		most = min(most, r.Count*int((max(d, 0)+r.Per-1)/r.Per))
	}
	return most
}

// Waits is how long until one more event fits, besides also.
func (c *Counter) Waits(now time.Time, also ...Rate) time.Duration {
	return c.T.wait(now, append(slices.Clone(c.rates), also...))
}

// Counters are the tallies that one transaction looks at.
type Counters []*Counter

// Left is how many more events fit into all of them now.
func (cs Counters) Left(now time.Time) int {
	left := math.MaxInt
	for _, c := range cs {
		left = min(left, c.left(now))
	}
	return left
}

// Keys are where the counters are in the store.
func (cs Counters) Keys() []string {
	keys := make([]string, len(cs))
	for i, c := range cs {
		keys[i] = c.key
	}
	return keys
}

// Load reads the counters in one round trip.
func (cs Counters) Load(tx store.Tx) error {
	values, err := tx.Get(cs.Keys()...)
	if err != nil {
		return err
	}
	for i, c := range cs {
		c.T = nil
		if values[i] == nil {
			continue
		}
		if err := c.T.parse(values[i]); err != nil {
			return store.BrokenRecord(c.key, err)
		}
	}
	return nil
}

// Restore counts at key, too, what tally has counted before: who wrote it, and who has
// written there since, knew nothing of each other.
func Restore(tx store.Tx, key string, before []byte, expires time.Time) error {
	values, err := tx.Get(key)
	if err != nil {
		return err
	}
	var was, is tally
	if err := was.parse(before); err != nil {
		return store.BrokenRecord(key, err)
	}
	if values[0] != nil {
		if err := is.parse(values[0]); err != nil {
			return store.BrokenRecord(key, err)
		}
	}
	tx.Put(key, is.with(was).text(), expires)
	return nil
}

// Wait returns the longest wait of all counters.
func (cs Counters) Wait(now time.Time) time.Duration {
	var wait time.Duration
	for _, c := range cs {
		wait = max(wait, c.T.wait(now, c.rates))
	}
	return wait
}

// Count adds one event to each counter.
func (cs Counters) Count(tx store.Tx, now time.Time) {
	for _, c := range cs {
		c.T = c.T.add(now, 1, c.rates)
		tx.Put(c.key, c.T.text(), now.Add(longest(c.rates)))
	}
}

// CountAhead counts what is still to happen: so many events that left of those counted
// ahead become most, or as many as fit, and returns how many. It makes up at least for a
// left below zero.
func (c *Counter) CountAhead(tx store.Tx, now time.Time, left, most int) int {
	n := max(-left, min(most-left, c.left(now)))
	if n > 0 {
		c.T = c.T.add(now, n, c.rates)
		tx.Put(c.key, c.T.text(), now.Add(longest(c.rates)))
	}
	return n
}

// Part is one in n of the lowest rate.
func (c *Counter) Part(n int) int {
	least := math.MaxInt
	for _, r := range c.rates {
		least = min(least, r.Count)
	}
	return least / n
}

// Times is rates with n times the count.
func Times(rates []Rate, n int) []Rate {
	out := slices.Clone(rates)
	for i := range out {
		out[i].Count *= n
	}
	return out
}

// Client counts starts of one client: of its network and, with IPv6, of the wider one.
func (l Limits) Client(a netip.Addr) Counters {
	var cs Counters
	for i, p := range ClientNetworks(a) {
		rates := l.PerClient
		if i > 0 {
			rates = Times(rates, WiderClient)
		}
		cs = append(cs, NewCounter("client/"+p.String(), rates))
	}
	return cs
}

// Recipient counts mails for an address. Browsers that have proved the address
// have a budget of their own, so that strangers can't use up a person's mails.
func (l Limits) Recipient(a address.Address, known bool) *Counter {
	return RecipientCounter(a.String(), known, l.PerRecipient)
}

// RecipientCounter counts mails for a contact, an address or a number, at rates.
func RecipientCounter(contact string, known bool, rates []Rate) *Counter {
	return NewCounter("recipient/"+group(known)+keyring.Hash(contact), rates)
}

// NetworkMails counts the mails for a contact that one network asks for at an app: it
// gets four fifths of the parts of PerRecipient longer than an hour, so that nobody
// uses up a person's mails alone.
func (l Limits) NetworkMails(contact, network string) *Counter {
	var rates []Rate
	for _, r := range l.PerRecipient {
		if r.Per > time.Hour {
			rates = append(rates, Rate{r.Count - r.Count/5, r.Per})
		}
	}
	return NewCounter("recipient/from/"+network+"/"+keyring.Hash(contact), rates)
}

// ForgetMails forgets the mails that a contact has got, whoever asked for them,
// and tells whether there were any that still count.
func ForgetMails(tx store.Tx, contact string) (found bool, err error) {
	for _, known := range []bool{false, true} {
		key := RecipientCounter(contact, known, nil).key
		values, err := tx.Get(key)
		if err != nil {
			return false, err
		}
		found = found || values[0] != nil
		tx.Delete(key)
	}
	return found, nil
}

// WrongCodes counts wrong codes for a contact, an address or a number, whether a
// gate or an app asked for them. Apart are browsers that have proved the address,
// so that nobody can lock a person out of code entry in a known browser, and test
// data.
func (l Limits) WrongCodes(contact string, known, isTest bool) *Counter {
	where := group(known)
	if isTest {
		where = "test/"
	}
	return NewCounter("failures/"+where+keyring.Hash(contact), l.Failures)
}

// AwayCodes counts wrong codes that other networks gave at challenges of apps than
// those which asked, beside WrongCodes: they get half of the budget, so that
// whoever asks has the other half.
func (l Limits) AwayCodes(contact string, isTest bool) *Counter {
	return NewCounter("failures/away/"+group(isTest)+keyring.Hash(contact), shareOf(l.Failures, 2))
}

// NetworkCodes counts those that one network gave at what it asked for itself, beside
// WrongCodes: no network gets more than half of the budget either.
func (l Limits) NetworkCodes(contact, network string, isTest bool) *Counter {
	return NewCounter("failures/from/"+network+"/"+group(isTest)+keyring.Hash(contact), shareOf(l.Failures, 2))
}

// StrongCodes counts wrong codes of eight hexadecimal digits, from networks that
// are told apart: those which asked, and away. Such a code is 4,294 times as strong
// as one of six digits (16⁸ ∕ 10⁶), so that with so many times the tries, in two
// halves, guessing has the same odds and nobody gets through the budget.
func (l Limits) StrongCodes(contact string, away, isTest bool) *Counter {
	return NewCounter("failures/strong/"+group(away)+group(isTest)+keyring.Hash(contact), Times(l.Failures, strongCode/2))
}

const strongCode = 4294

func group(known bool) string {
	if known {
		return "known/"
	}
	return "other/"
}

// Repeated is the rule on mails to one recipient for an app: its own in place
// of the parts up to a minute, never of the longer ones.
func (l Limits) Repeated(own []Rate) []Rate {
	rates := append([]Rate(nil), own...)
	for _, r := range l.PerRecipient {
		if r.Per > time.Minute {
			rates = append(rates, r)
		}
	}
	return rates
}

// global counts the mails of all.
func (l Limits) global(known bool) *Counter {
	rates := slices.Clone(l.Global)
	if !known {
		for i := range rates {
			rates[i].Count -= rates[i].Count / keptForKnown
		}
	}
	return NewCounter("global", rates)
}

// Mails counts mails: those of all, and those of one share.
func (l Limits) Mails(share string, known bool) Counters {
	all := Counters{l.global(known)}
	if share != "" {
		all = append(all, NewCounter("mails/"+group(known)+share, shareOf(l.Global, networkShare)))
	}
	return all
}

// shareOf is one in n of each rate, at least one event.
func shareOf(rates []Rate, n int) []Rate {
	out := slices.Clone(rates)
	for i := range out {
		out[i].Count = max(out[i].Count/n, min(out[i].Count, 1))
	}
	return out
}

const (
	// keptForKnown is the part of Global, one in so many, that only browsers get
	// that have proved the address.
	keptForKnown = 5
	// networkShare is the part of Global, one in so many, that one /24 or /48
	// gets, and so do all invitations together. It is also their part of the mails
	// that wait for it.
	networkShare = 10
)
