package challenge

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// PauseLifetime is how long an address gets no mail that an unknown browser
// asked for, after its owner said "this wasn't me".
const PauseLifetime = 24 * time.Hour

// pause is what an address's owner wished: the challenges asked for before it
// by other browsers are dead, and unknown browsers cause no mail for a while.
// Or it says that the owner's account is gone.
type pause struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	By    string    `json:"by,omitempty"` // hash of the flow cookie of the browser that said so
	// Held is until when mail that came back, or was complained about, holds others
	// back that unknown browsers ask for.
	Held time.Time `json:"held,omitzero"`
	// Released is when an operator lifted that: mail sent before holds nothing.
	Released time.Time `json:"released,omitzero"`
	// Doubts are about browsers that were known for the address, the newest last.
	Doubts []doubt `json:"doubts,omitempty"`
	// Deleted is when the account with this address was deleted: what was asked
	// for before, by whomever, is dead.
	Deleted time.Time `json:"deleted,omitzero"`
}

// doubt takes back what browsers proved in a span of time, both ends included: they
// are known no more.
type doubt struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to"`
	But  string    `json:"but,omitempty"` // hash of the device cookie of who says so
}

// about tells whether the browser is doubted that has proved the address at then.
func (d doubt) about(device string, then time.Time) bool {
	return (d.But == "" || device != d.But) && !then.Before(d.From.Truncate(time.Millisecond)) && !then.After(d.To)
}

// Distrust makes the browsers unknown that have proved a since from, but for the
// one with the device cookie but; "" for none.
func Distrust(tx store.Tx, a address.Address, from time.Time, but string, now time.Time) error {
	return change(tx, a, now, func(p *pause) { p.distrust(from, but, now) })
}

// maxDoubts bounds what an address's owner can make the store keep; of more the
// oldest are one, which doubts more than they did.
const maxDoubts = 8

func (p *pause) distrust(from time.Time, but string, now time.Time) {
	if but != "" {
		but = keyring.Hash(but)
	}
	p.Doubts = append(p.Doubts, doubt{from, now, but})
	if len(p.Doubts) > maxDoubts {
		p.Doubts[1] = doubt{To: p.Doubts[1].To}
		p.Doubts = p.Doubts[1:]
	}
}

// doubts tells whether the browser is doubted that has proved the address at then.
func (p *pause) doubts(device string, then time.Time) bool {
	return slices.ContainsFunc(p.Doubts, func(d doubt) bool { return d.about(device, then) })
}

// PauseKey is where the wish of an address's owner is.
func PauseKey(a address.Address) string { return store.KeyPause + keyring.Hash(a.String()) }

// Disown takes the word of the owner of a, in the browser by (hash of its flow
// cookie, "" for none) with the device cookie device, that a mail was not asked for
// by them. Whoever has proved a since that was asked for may have done so with it.
func Disown(tx store.Tx, a address.Address, asked time.Time, by, device string, now time.Time) error {
	return change(tx, a, now, func(p *pause) {
		p.Since, p.Until, p.By = now, now.Add(PauseLifetime), by
		p.distrust(asked, device, now)
	})
}

// EndAll ends the challenges for a, whose account is being deleted.
func EndAll(tx store.Tx, a address.Address, now time.Time) error {
	return change(tx, a, now, func(p *pause) { p.Deleted, p.Doubts = now, nil })
}

// HasGone tells whether the account with address a was deleted since c was asked for.
func HasGone(tx store.Tx, a address.Address, c *Challenge) (bool, error) {
	p, err := readPause(tx, a)
	return err == nil && !c.AskedAt.After(p.Deleted), err
}

// holdLifetime is how long an address whose mail came back gets none that an
// unknown browser asked for.
const holdLifetime = 7 * 24 * time.Hour

// Hold notes that mail to a, sent then, came back, or was complained about.
func Hold(tx store.Tx, a address.Address, sent, now time.Time) error {
	return change(tx, a, now, func(p *pause) {
		if sent.After(p.Released) {
			p.Held = now.Add(holdLifetime)
		}
	})
}

// Release lifts Hold, for what was sent up to now, and tells whether it was in force.
func Release(tx store.Tx, a address.Address, now time.Time) (was bool, err error) {
	until, err := HeldUntil(tx, a, now)
	if err != nil {
		return false, err
	}
	return !until.IsZero(), change(tx, a, now, func(p *pause) { p.Held, p.Released = time.Time{}, now })
}

// Forgive forgets Hold and Release, if there was either.
func Forgive(tx store.Tx, a address.Address, now time.Time) error {
	p, err := readPause(tx, a)
	if err != nil || p.Held.IsZero() && p.Released.IsZero() {
		return err
	}
	return change(tx, a, now, func(p *pause) { p.Held, p.Released = time.Time{}, time.Time{} })
}

// HeldUntil is how long Hold is in force, zero if it is not.
func HeldUntil(tx store.Tx, a address.Address, now time.Time) (time.Time, error) {
	p, err := readPause(tx, a)
	if err != nil || !now.Before(p.Held) {
		return time.Time{}, err
	}
	return p.Held, nil
}

// Stopped is why unknown browsers cause no mail to a now, empty if they do.
func Stopped(tx store.Tx, a address.Address, now time.Time) (Outcome, error) {
	p, err := readPause(tx, a)
	switch {
	case err != nil:
		return "", err
	case now.Before(p.Until):
		return OutcomePaused, nil
	case now.Before(p.Held):
		return OutcomeHeld, nil
	}
	return "", nil
}

// maxLifetime is longer than that of any challenge: an app's links live a week.
const maxLifetime = 8 * 24 * time.Hour

// change keeps the record for longer than any challenge that it ends, and any
// browser that it makes unknown.
func change(tx store.Tx, a address.Address, now time.Time, to func(*pause)) error {
	p, err := readPause(tx, a)
	if err != nil {
		return err
	}
	to(p)
	kept := now.Add(PauseLifetime)
	all := []time.Time{p.Held, p.Released.Add(holdLifetime), p.Deleted.Add(maxLifetime)} // reports come within days
	if n := len(p.Doubts); n > 0 {
		all = append(all, p.Doubts[n-1].To.Add(DeviceLifetime))
	}
	for _, until := range all {
		if until.After(kept) {
			kept = until
		}
	}
	return store.Save(tx, PauseKey(a), p, kept)
}

// Paused tells whether unknown browsers cause no mail to a now.
func Paused(tx store.Tx, a address.Address, now time.Time) (bool, error) {
	until, err := PausedUntil(tx, a, now)
	return !until.IsZero(), err
}

// PausedUntil is how long unknown browsers cause no mail to a, zero if they do.
func PausedUntil(tx store.Tx, a address.Address, now time.Time) (time.Time, error) {
	p, err := readPause(tx, a)
	if err != nil || !now.Before(p.Until) {
		return time.Time{}, err
	}
	return p.Until, nil
}

// readPause reads what is known of a, also when no pause is in force.
func readPause(tx store.Tx, a address.Address) (*pause, error) {
	p := &pause{}
	_, err := store.Load(tx, PauseKey(a), p)
	return p, err
}

// ends tells whether c is dead: its address's owner did not ask for it, or is
// gone. No challenge lives as long as the pause.
func (p *pause) ends(c *Challenge) bool {
	return !c.AskedAt.After(p.Since) && c.Browser != p.By || !c.AskedAt.After(p.Deleted)
}
