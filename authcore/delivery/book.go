package delivery

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Config is what a Book needs for as long as the process runs.
type Config struct {
	Store store.Store
	Now   func() time.Time
}

// Book has how mail fares. It is safe for concurrent use.
type Book struct{ cfg Config }

// New returns the book that is kept in a store.
func New(c Config) *Book { return &Book{c} }

// Unlocked is what Unlock has lifted, and what it leaves.
type Unlocked struct {
	Limited bool // mails had counted for limit.Limits.PerRecipient
	// PausedUntil is how long mail stays held that unknown browsers ask for: its
	// owner said "this wasn't me". Zero: it is not.
	PausedUntil time.Time
}

// Unlock forgets the mails that a has got so far, so that it gets new ones at
// once. Wrong codes stay counted, or an operator who is talked into this opens
// the way to guess on; and its owner's "this wasn't me" stays in force.
func (b *Book) Unlock(ctx context.Context, a address.Address) (Unlocked, error) {
	return store.Update(ctx, b.cfg.Store, func(tx store.Tx) (out Unlocked, err error) {
		if out.Limited, err = limit.ForgetMails(tx, a.String()); err != nil {
			return out, err
		}
		out.PausedUntil, err = challenge.PausedUntil(tx, a, b.cfg.Now())
		return out, err
	})
}
