package apps

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Once too many wrong codes were given for an address, a mail has a link in place
// of the code (Ask.Shows). Who opens it and presses the button is shown the code,
// and answers it as ever: the link is a secret that nobody guesses, so strangers
// who use up the budget lock nobody out.

// Shown is what came of such a link.
type Shown struct {
	Verdict event.Verdict // Accepted, Unknown, Expired, Used or Locked
	App     *App
	Contact person.Contact
	Code    string // once the button was pressed
}

// Show tells whether a link of slot shows a code. With press it does, and the code
// can be answered from then on.
func (s *View) Show(ctx context.Context, slot, token string, press bool) (Shown, error) {
	show := func(tx store.Tx) (Shown, error) { return s.show(tx, slot, token, press) }
	if press {
		return store.Update(ctx, s.core.store, show)
	}
	return store.View(ctx, s.core.store, show)
}

func (s *View) show(tx store.Tx, slot, token string, press bool) (Shown, error) {
	out := Shown{Verdict: event.Unknown}
	if len(token) != keyring.APILinkLen {
		return out, nil
	}
	lead, err := challenge.LoadLead(tx, store.KeyAPILink+keyring.Hash(token))
	if err != nil || lead.Challenge == "" {
		return out, err
	}
	c, err := loadSent(tx, lead.Challenge)
	if err != nil || c == nil || c.Decoy || c.Slot != slot || !c.LinkOnly && !c.Opened {
		return out, err
	}
	if out.App = s.cfg.List.Find(c.Realm.App); out.App == nil {
		return out, nil
	}
	to := c.person.View()
	out.Contact, _ = to.Contact(c.Contact)
	if out.Verdict, err = c.standing(tx, s.core.now()); out.Verdict == event.CodesOff {
		out.Verdict = event.Accepted
	}
	if err != nil || out.Verdict != event.Accepted || !press {
		return out, err
	}
	if err := s.challenges.Open(tx, c.Challenge); err != nil {
		return out, err
	}
	var shown bool
	if out.Code, shown, err = s.challenges.ShownCode(c.Challenge); !shown {
		out.Verdict = event.Expired
	}
	return out, err
}
