package operate

import (
	"context"
	"net/netip"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
)

// Unlock lifts what holds mail to an address back: the mails that it has got so
// far, and those that came back. Wrong codes, and its owner's "this wasn't me", stay in force.
func (i *Instance) Unlock(ctx context.Context, by netip.Addr, email string) (Unlocked, error) {
	a, err := address.Parse(email)
	if err != nil {
		return Unlocked{}, refuse(Malformed, "email: %w", err)
	}
	lifted, err := i.Core.Delivery().Unlock(ctx, a)
	if err != nil {
		return Unlocked{}, err
	}
	i.audit(by, "unlock", &apps.Holder{Address: a}, "")
	return Unlocked{Email: a.String(), Mails: lifted.Limited, Held: lifted.Held, PausedUntil: moment(lifted.PausedUntil)}, nil
}
