package organization

import (
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Leaving are the organizations of somebody who is deleted.
type Leaving struct {
	realm   person.Realm
	subject string
	list    []memberOf
}

// memberOf is one of them.
type memberOf struct {
	org     string
	others  bool     // it has other members
	changes int      // Organization.Changes then
	invites []string // when it has none
}

// ErrJoined: somebody came into an organization that would have gone.
var ErrJoined = errors.New("an organization has another member by now")

// LoadLeaving looks at a person's organizations. Whoever comes into one before the
// person is out has it looked at again (ErrJoined).
func LoadLeaving(tx store.Tx, realm person.Realm, subject string) (Leaving, error) {
	l := Leaving{realm: realm, subject: subject}
	if !keyring.IsID(subject) {
		return l, nil
	}
	ids, err := store.IDs(tx, store.KeyPersonOrg+subject+"/")
	if err != nil {
		return Leaving{}, err
	}
	for _, org := range ids {
		m := memberOf{org: org}
		if o, err := LoadOrg(tx, realm, org); err != nil {
			return Leaving{}, err
		} else if o != nil {
			m.changes = o.Changes
		}
		items, err := tx.Scan(store.KeyOrgPerson+org+"/", "", 2)
		if err != nil {
			return Leaving{}, err
		}
		if m.others = len(items) > 1; !m.others {
			if m.invites, err = store.IDs(tx, store.KeyOrgInvite+org+"/"); err != nil {
				return Leaving{}, err
			}
		}
		l.list = append(l.list, m)
	}
	return l, nil
}

// IsEmpty tells whether there are none.
func (l Leaving) IsEmpty() bool { return len(l.list) == 0 }

// Verdict is Accepted if every one keeps an owner, or goes, and Forbidden else.
func (l Leaving) Verdict(tx store.Tx) (event.Verdict, error) {
	for _, m := range l.list {
		o, err := LoadOrg(tx, l.realm, m.org)
		if err != nil {
			return event.Unknown, err
		}
		if o != nil && m.others && o.isLastOwner(l.subject) {
			return event.Forbidden, nil
		}
	}
	return event.Accepted, nil
}

// Leave takes the person out of them, and returns those that have lost their last
// owner.
func (l Leaving) Leave(tx store.Tx, now time.Time) (orphans []string, err error) {
	for _, m := range l.list {
		orphan, err := l.leave(tx, m, now)
		if err != nil {
			return nil, err
		}
		if orphan {
			orphans = append(orphans, m.org)
		}
	}
	return orphans, nil
}

// leave takes the person out of an organization. orphan: it has lost its last owner.
func (l Leaving) leave(tx store.Tx, m memberOf, now time.Time) (orphan bool, err error) {
	o, err := LoadOrg(tx, l.realm, m.org)
	if err != nil || o == nil {
		return false, err
	}
	if !m.others && o.Changes != m.changes {
		return false, ErrJoined
	}
	if !m.others {
		return false, o.remove(tx, l.subject, m.invites, now)
	}
	return o.isLastOwner(l.subject), o.setRole(tx, l.subject, "", now)
}

func (o *Organization) isLastOwner(sub string) bool { return slices.Equal(o.Owners, []string{sub}) }

// remove deletes an organization that has one member at most.
func (o *Organization) remove(tx store.Tx, member string, invites []string, now time.Time) error {
	tx.Delete(store.KeyOrg + o.ID)
	tx.Delete(person.Key(o.Realm, person.BySlug, o.Slug))
	tx.Delete(store.KeyOrgPerson + o.ID + "/" + member)
	tx.Delete(store.KeyPersonOrg + member + "/" + o.ID)
	for _, id := range invites {
		tx.Delete(store.KeyInvite + id)
		tx.Delete(store.KeyOrgInvite + o.ID + "/" + id)
	}
	return person.MarkGone(tx, now, o.ID)
}
