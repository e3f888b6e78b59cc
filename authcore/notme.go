package authcore

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// pauseLifetime is how long an address gets no mail that an unknown browser
	// asked for, after its owner said "this wasn't me".
	pauseLifetime = 24 * time.Hour

	keyPause = "pause/" // pause/<hash of address>: "this wasn't me", and accounts that were deleted
)

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

// NotMe takes the word of whoever holds token, from a mail to a, that the mail
// was not asked for by them: challenges of other browsers for a end, and for 24
// hours no mail is sent that a browser asks for that has not proved a. It
// reports whether token belongs to a mail to a; if not, nothing changes.
func (s *Service) NotMe(ctx context.Context, b Browser, token string, a address.Address) (bool, error) {
	now := s.core.now()
	if !s.core.secrets.IsNotMe(token, a, now) {
		return false, nil
	}
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		flows, err := loadFlows(tx, b.Flow)
		if err != nil {
			return err
		}
		p, err := readPause(tx, a)
		if err != nil {
			return err
		}
		p.Since, p.Until, p.By = now, now.Add(pauseLifetime), flows.Browser
		return p.save(tx, a, now)
	})
	if err != nil {
		return false, err
	}
	s.observe(s.event(event.NotMe, b, a, ""))
	return true, nil
}

// loadPause reads the pause in force for a, nil for none.
func loadPause(tx store.Tx, a address.Address, now time.Time) (*pause, error) {
	p, err := readPause(tx, a)
	if err != nil || !now.Before(p.Until) {
		return nil, err
	}
	return p, nil
}

// readPause reads what is known of a, also when no pause is in force.
func readPause(tx store.Tx, a address.Address) (*pause, error) {
	p := &pause{}
	_, err := store.Load(tx, keyPause+keyring.Hash(a.String()), p)
	return p, err
}

// save keeps p for longer than any challenge that it ends.
func (p *pause) save(tx store.Tx, a address.Address, now time.Time) error {
	return store.Save(tx, keyPause+keyring.Hash(a.String()), p, now.Add(pauseLifetime))
}

// ends tells whether c is dead: its address's owner did not ask for it, or is
// gone.
func (p *pause) ends(c *challenge, now time.Time) bool {
	return now.Before(p.Until) && !c.AskedAt.After(p.Since) && c.Browser != p.By || !c.AskedAt.After(p.Deleted)
}

// endChallenges ends the challenges for a, whose account is being deleted.
func endChallenges(tx store.Tx, a address.Address, now time.Time) error {
	p, err := readPause(tx, a)
	if err != nil {
		return err
	}
	p.Deleted = now
	return p.save(tx, a, now)
}

// loadOpen is loadChallenge for whoever means to answer it or send its mail: one
// made for an app that can't be answered any more is none, and one of a gate that
// its address's owner did not ask for, or whose account is gone, is locked.
func loadOpen(tx store.Tx, id string, now time.Time) (*challenge, error) {
	c, err := loadChallenge(tx, id)
	if err != nil || c == nil {
		return nil, err
	}
	if c.API != nil {
		p, err := c.holder(tx)
		if err != nil || p == nil {
			return nil, err
		}
		if v, err := c.standing(tx, now); err != nil || v != event.Accepted {
			return nil, err
		}
		return c, nil
	}
	p, err := readPause(tx, c.Address)
	if err != nil {
		return nil, err
	}
	c.Locked = c.Locked || p.ends(c, now)
	return c, nil
}
