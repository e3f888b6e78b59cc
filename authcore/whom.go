package authcore

import (
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Whom names a person of a realm: the first field that is set counts.
type Whom struct {
	Subject  string
	Email    address.Address
	Phone    address.Phone
	Contact  string // id of one of the person's contacts
	External string
}

func (w Whom) find(tx store.Tx, r Realm) (*person, error) {
	switch {
	case w.Subject != "":
		return loadRealmPerson(tx, r, w.Subject)
	case !w.Email.IsZero():
		return findPerson(tx, r, indexValue, w.Email.String())
	case !w.Phone.IsZero():
		return findPerson(tx, r, indexValue, w.Phone.String())
	case w.Contact != "":
		if !keyring.IsID(w.Contact) {
			return nil, nil
		}
		return findPerson(tx, r, indexContact, w.Contact)
	}
	return findPerson(tx, r, indexExternal, keyring.Hash(w.External))
}
