package authcore

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What is deleted or removed leaves a mark, so that no import of an export from
// before brings it back: that something is not here may also be because it never
// was. A mark is a hash of random ids and a time, and names nobody.

// goneKept is how long a mark stays.
const goneKept = 400 * 24 * time.Hour

func goneKey(ids []string) string { return store.KeyGone + keyring.Hash(strings.Join(ids, "/")) }

// markGone notes that a person or an organization is gone, or a membership: of
// an organization, a person.
func markGone(tx store.Tx, now time.Time, ids ...string) error {
	return store.Save(tx, goneKey(ids), now, now.Add(goneKept))
}

// isGone tells whether what ids name is gone, and was from since on.
func isGone(tx store.Tx, since time.Time, ids ...string) (bool, error) {
	var at time.Time
	ok, err := store.Load(tx, goneKey(ids), &at)
	return ok && !at.Before(since), err
}

// areGone tells whether any of the people and organizations is gone for good.
func areGone(tx store.Tx, ids ...string) (gone bool, err error) {
	for _, id := range ids {
		if gone, err = isGone(tx, time.Time{}, id); gone || err != nil {
			break
		}
	}
	return gone, err
}

func (p *exportPerson) gone(tx store.Tx) (bool, error) { return areGone(tx, p.Subject) }

func (in *exportAppPerson) gone(tx store.Tx) (bool, error) { return areGone(tx, in.Subject) }

func (in *exportSession) gone(tx store.Tx) (bool, error) { return areGone(tx, in.Subject) }

func (in *exportOrg) gone(tx store.Tx) (bool, error) { return areGone(tx, in.ID) }

// gone: also when the address was taken from somebody since the invitation was sent.
func (in *exportInvite) gone(tx store.Tx) (bool, error) {
	if gone, err := areGone(tx, in.Org); gone || err != nil {
		return gone, err
	}
	span, err := person.LoadSpan(tx, in.Realm, in.Email.String())
	return !span.Since.Before(in.Expires.Add(-InviteLifetime)), err
}

func (*exportKey) gone(store.Tx) (bool, error) { return false, nil }

// gone: who was taken out may have come in again since, elsewhere.
func (in *exportMember) gone(tx store.Tx) (bool, error) {
	if gone, err := areGone(tx, in.Org, in.Subject); gone || err != nil {
		return gone, err
	}
	return isGone(tx, in.Since, in.Org, in.Subject)
}
