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

// change keeps the record for longer than any challenge that it ends.
func change(tx store.Tx, a address.Address, now time.Time, to func(*pause)) error {
	p, err := readPause(tx, a)
	if err != nil {
		return err
	}
	to(p)
	return store.Save(tx, PauseKey(a), p, now.Add(PauseLifetime))
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
// gone.
func (p *pause) ends(c *Challenge, now time.Time) bool {
	return now.Before(p.Until) && !c.AskedAt.After(p.Since) && c.Browser != p.By || !c.AskedAt.After(p.Deleted)
}
