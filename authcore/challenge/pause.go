package challenge

import (
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
	// Deleted is when the account with this address was deleted: what was asked
	// for before, by whomever, is dead.
	Deleted time.Time `json:"deleted,omitzero"`
}

// PauseKey is where the wish of an address's owner is.
func PauseKey(a address.Address) string { return store.KeyPause + keyring.Hash(a.String()) }

// Disown takes the word of the owner of a, in the browser by (hash of its flow
// cookie, "" for none), that the mails were not asked for by them.
func Disown(tx store.Tx, a address.Address, by string, now time.Time) error {
	return change(tx, a, now, func(p *pause) { p.Since, p.Until, p.By = now, now.Add(PauseLifetime), by })
}

// EndAll ends the challenges for a, whose account is being deleted.
func EndAll(tx store.Tx, a address.Address, now time.Time) error {
	return change(tx, a, now, func(p *pause) { p.Deleted = now })
}

// holdLifetime is how long an address whose mail came back gets none that an
// unknown browser asked for.
const holdLifetime = 7 * 24 * time.Hour

// Hold notes that mail to a came back, or was complained about.
func Hold(tx store.Tx, a address.Address, now time.Time) error {
	return change(tx, a, now, func(p *pause) { p.Held = now.Add(holdLifetime) })
}

// Release lifts Hold, and tells whether it was in force.
func Release(tx store.Tx, a address.Address, now time.Time) (was bool, err error) {
	until, err := HeldUntil(tx, a, now)
	if err != nil || until.IsZero() {
		return false, err
	}
	return true, change(tx, a, now, func(p *pause) { p.Held = time.Time{} })
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

// change keeps the record for longer than any challenge that it ends.
func change(tx store.Tx, a address.Address, now time.Time, to func(*pause)) error {
	p, err := readPause(tx, a)
	if err != nil {
		return err
	}
	to(p)
	kept := now.Add(PauseLifetime)
	if p.Held.After(kept) {
		kept = p.Held
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
