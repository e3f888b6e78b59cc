package apps

import (
	"encoding/json"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// sent is a challenge made for an app, with what the app's part of it says, and
// the person whom it was sent to.
type sent struct {
	*challenge.Challenge
	apiPart
	person *person.Record
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
// contact. While nobody is made by it, it dies with the account at the gates that has
// its address: an operator has deleted whom it was sent to.
func sentOf(tx store.Tx, c *challenge.Challenge) (*sent, error) {
	out, err := partOf(c)
	if err != nil {
		return nil, err
	}
	p, err := person.SentTo{Subject: out.Subject, Contact: out.Contact, Value: c.Recipient()}.Holder(tx, out.Realm)
	if err != nil || p == nil {
		return nil, err
	}
	if by := out.AskedBy; by != (person.ContactRef{}) && !p.Holds(by.ID, by.Value) {
		return nil, nil
	}
	if p.IsNobody() && !out.Realm.Test && !c.IsText() {
		if gone, err := challenge.HasGone(tx, c.Address, c); err != nil || gone {
			return nil, err
		}
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
	c.Subject, c.AskedBy = c.person.Subject, person.ContactRef{}
	c.Part, err = json.Marshal(c.apiPart)
	return err
}
