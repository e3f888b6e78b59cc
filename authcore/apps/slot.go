package apps

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// slotState is what is in force for a contact where the wire has no handle: of each
// network that asks the newest. A stranger who asks for a code elsewhere does not
// take away the one that a person is typing. What an app's server asks for without
// saying for whom is of one network.
type slotState []slotLead

type slotLead struct {
	From  string `json:"from,omitempty"`
	Known bool   `json:"known,omitempty"` // From had proved the contact
	challenge.Lead
	Expires time.Time `json:"expires"`
}

// maxInForce bounds what is kept for a contact where per_recipient allows more. It is
// more than the networks that are known for one, whose codes go last.
const maxInForce = 64

// slotKey is where the slot of a contact is, by its id or its value. What was sent
// to a former holder of the value is dead with the contact.
func slotKey(r person.Realm, slot, contact string) string {
	return store.KeyAPISlot + r.String() + "/" + keyring.Hash(slot+"/"+contact)
}

func networksKey(r person.Realm, contact string) string {
	return challenge.NetworksKey(r.String(), contact)
}

func loadSlot(tx store.Tx, key string) (s slotState, err error) {
	_, err = store.Load(tx, key, &s)
	return s, err
}

// holds tells whether the challenge with id is in force.
func (s slotState) holds(id string) bool {
	return slices.ContainsFunc(s, func(l slotLead) bool { return l.Challenge == id })
}

// leads are those that an answer from a network may be about: all, since a person
// asks on one network and reads the mail on another; the one it asked for itself comes
// first, then those of networks that are known, then the newest.
func (s slotState) leads(from string) []challenge.Lead {
	var own, known, others []challenge.Lead
	for _, l := range slices.Backward(s) {
		to := &others
		if l.From == from && from != "" {
			to = &own
		} else if l.Known {
			to = &known
		}
		*to = append(*to, l.Lead)
	}
	return slices.Concat(own, known, others)
}

// bounded drops the oldest of too many, those of networks that are known last:
// strangers who ask from many networks take none of these away.
func (s slotState) bounded() slotState {
	for len(s) > maxInForce {
		i := max(slices.IndexFunc(s, func(l slotLead) bool { return !l.Known }), 0)
		s = slices.Delete(s, i, i+1)
	}
	return s
}

// clear leaves in force what is used up, which is told to be used, and nothing else:
// one proof ends all that was sent.
func (t *proving) clear() error {
	if !t.c.Current {
		return nil
	}
	all, err := loadSlot(t.tx, slotKey(t.c.Realm, t.c.Slot, t.c.Contact))
	if err != nil {
		return err
	}
	return t.c.saveSlot(t.tx, slices.DeleteFunc(all, func(l slotLead) bool { return l.Challenge != t.c.ID }))
}

// place puts a challenge into its slot, in place of what its network asked for
// before.
func (t *asking) place(c *sent, lead challenge.Lead) error {
	if !c.Current {
		return nil
	}
	all, err := loadSlot(t.tx, slotKey(c.Realm, c.Slot, c.Recipient()))
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l slotLead) bool { return l.From == c.From || !l.Expires.After(t.now) })
	all = append(all, slotLead{From: c.From, Known: c.Known, Lead: lead, Expires: c.Expires})
	return c.saveSlot(t.tx, all.bounded())
}

// saveSlot keeps what is in force in c's slot, by the contact's value and id.
func (c *sent) saveSlot(tx store.Tx, all slotState) error {
	for _, contact := range []string{c.Recipient(), c.Contact} {
		if err := store.Save(tx, slotKey(c.Realm, c.Slot, contact), all, c.Kept); err != nil {
			return err
		}
	}
	return nil
}
