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
	From string `json:"from,omitempty"`
	challenge.Lead
	Expires time.Time `json:"expires"`
}

// maxInForce bounds how many codes of a contact a guess is compared with.
const maxInForce = 4

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

// leads are those that an answer from a network may be about: the one it asked
// for, else all, the newest first.
func (s slotState) leads(from string) (leads []challenge.Lead) {
	for _, l := range slices.Backward(s) {
		if l.From == from && from != "" {
			return []challenge.Lead{l.Lead}
		}
		leads = append(leads, l.Lead)
	}
	return leads
}

// place puts a challenge into its slot, in place of what its network asked for
// before.
func (t *asking) place(c *sent, lead challenge.Lead) error {
	if !c.Current {
		return nil
	}
	byValue := slotKey(c.Realm, c.Slot, c.Recipient())
	all, err := loadSlot(t.tx, byValue)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(l slotLead) bool { return l.From == c.From || !l.Expires.After(t.now) })
	all = append(all, slotLead{From: c.From, Lead: lead, Expires: c.Expires})
	all = all[max(len(all)-maxInForce, 0):]
	for _, key := range []string{byValue, slotKey(c.Realm, c.Slot, c.Contact)} {
		if err := store.Save(t.tx, key, all, c.Kept); err != nil {
			return err
		}
	}
	return nil
}
