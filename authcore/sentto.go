package authcore

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What was sent to a contact dies with it: codes, links, the tokens that wait
// for them and invitations. A contact's id is given once. Whoever has the same
// address or number afterwards, its former holder too, has another contact, to
// which nothing was sent yet.

// sentTo is a contact as it was when something was sent to it.
type sentTo struct {
	Subject string `json:"sub"`
	Contact string `json:"contact"` // its id
	Value   string `json:"value"`
}

// holder reads the person whose contact it still is, nil once it was removed or
// replaced or the person was deleted.
func (to sentTo) holder(tx store.Tx, r Realm) (*person, error) {
	p, err := loadRealmPerson(tx, r, to.Subject)
	if err != nil || p == nil || !p.holds(to.Contact, to.Value) {
		return nil, err
	}
	return p, nil
}

// holds tells whether p has the contact with this id and value.
func (p *person) holds(id, value string) bool {
	c := p.contact(id)
	return c != nil && c.Value == value
}

// contact finds a contact of an app's person by its id, nil for none.
func (p *person) contact(id string) *Contact {
	if p.Profile == nil {
		return nil
	}
	for _, list := range [][]Contact{p.Profile.Emails, p.Profile.Phones} {
		for i := range list {
			if list[i].ID == id {
				return &list[i]
			}
		}
	}
	return nil
}

// Address is the contact as an address, zero for a number.
func (c Contact) Address() address.Address {
	if !strings.Contains(c.Value, "@") {
		return address.Address{}
	}
	return address.AddressOf(c.Value)
}

// contactRef names a contact as it was.
type contactRef struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

// sent is a challenge made for an app, with what the app's part of it says, and
// the person whom it was sent to.
type sent struct {
	*challenge.Challenge
	apiPart
	person *person
}

// partOf reads what a challenge made for an app says, whatever became of its
// contact.
func partOf(c *challenge.Challenge) (*sent, error) {
	out := &sent{Challenge: c}
	if err := json.Unmarshal(c.Part, &out.apiPart); err != nil {
		return nil, fmt.Errorf("the store holds a broken challenge of an app: %w", err)
	}
	return out, nil
}

// sentOf completes a challenge made for an app, nil for one that died with its
// contact.
func sentOf(tx store.Tx, c *challenge.Challenge) (*sent, error) {
	out, err := partOf(c)
	if err != nil {
		return nil, err
	}
	p, err := sentTo{out.Subject, out.Contact, c.Recipient()}.holder(tx, out.Realm)
	if err != nil || p == nil {
		return nil, err
	}
	if by := out.AskedBy; by != (contactRef{}) && !p.holds(by.ID, by.Value) {
		return nil, nil
	}
	out.person = p
	return out, nil
}

// loadSent reads a challenge made for an app, nil for any other and for one that
// died with its contact.
func loadSent(tx store.Tx, id string) (*sent, error) {
	c, err := challenge.Load(tx, id)
	if err != nil || c == nil || c.Part == nil {
		return nil, err
	}
	return sentOf(tx, c)
}

// isLink tells whether it is answered by a link's token, not by a code.
func (c *sent) isLink() bool { return c.Digits == 0 }

// readdress makes the challenge one that was sent to person, whose contact it is
// by now.
func (c *sent) readdress() (err error) {
	c.Subject, c.AskedBy = c.person.Subject, contactRef{}
	c.Part, err = json.Marshal(c.apiPart)
	return err
}
