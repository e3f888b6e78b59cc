package authcore

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// NotMe takes the word of whoever holds token, from a mail to a, that the mail
// was not asked for by them: challenges of other browsers for a end, and for 24
// hours no mail is sent that a browser asks for that has not proved a
// before that mail was asked for. It
// reports whether token belongs to a mail to a; if not, nothing changes.
func (all Flows) NotMe(ctx context.Context, b session.Browser, token string, a address.Address) (bool, error) {
	s := all.s
	now := s.core.now()
	asked, ok := s.core.secrets.IsNotMe(token, a, now)
	if !ok {
		return false, nil
	}
	err := s.core.store.Update(ctx, func(tx store.Tx) error {
		flows, err := challenge.LoadFlows(tx, b.Flow)
		if err != nil {
			return err
		}
		return challenge.Disown(tx, a, asked, flows.Browser, b.Device, now)
	})
	if err != nil {
		return false, err
	}
	s.observe(s.event(event.NotMe, b, a, ""))
	return true, nil
}
