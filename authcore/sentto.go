package authcore

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
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

// sentTo is what a challenge made for an app was sent to.
func (c *challenge) sentTo() sentTo { return sentTo{c.API.Subject, c.API.Contact, c.value()} }

// holder reads the person whom c, made for an app, was sent to, nil once it died
// with its contact.
func (c *challenge) holder(tx store.Tx) (*person, error) {
	p, err := c.sentTo().holder(tx, c.API.Realm)
	if err != nil || p == nil {
		return nil, err
	}
	if by := c.API.AskedBy; by != (contactRef{}) && !p.holds(by.ID, by.Value) {
		return nil, nil
	}
	return p, nil
}

// loadSent reads a challenge made for an app, and the person whom it was sent
// to. One that died with its contact is none.
func loadSent(tx store.Tx, id string) (*challenge, *person, error) {
	c, err := loadChallenge(tx, id)
	if err != nil || c == nil || c.API == nil {
		return nil, nil, err
	}
	p, err := c.holder(tx)
	if err != nil || p == nil {
		return nil, nil, err
	}
	return c, p, nil
}

// contactRef names a contact as it was.
type contactRef struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}
