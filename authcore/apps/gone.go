package apps

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What is deleted or removed leaves a tombstone, so that no import of an export from
// before brings it back: that something is not here may also be because it never
// was. A tombstone is a hash of random ids and a time, and names nobody.

// goneKept is how long a tombstone stays.
const goneKept = 400 * 24 * time.Hour

func goneKey(ids []string) string { return store.KeyGone + keyring.Hash(strings.Join(ids, "/")) }

// markGone notes that a person or an organization is gone, or a membership: of
// an organization, a person.
func markGone(tx store.Tx, now time.Time, ids ...string) error {
	return store.Save(tx, goneKey(ids), now, now.Add(goneKept))
}

// IsGone tells whether what ids name is gone, and was from since on.
func IsGone(tx store.Tx, since time.Time, ids ...string) (bool, error) {
	var at time.Time
	ok, err := store.Load(tx, goneKey(ids), &at)
	return ok && !at.Before(since), err
}

// AreGone tells whether any of the people and organizations is gone for good.
func AreGone(tx store.Tx, ids ...string) (gone bool, err error) {
	for _, id := range ids {
		if gone, err = IsGone(tx, time.Time{}, id); gone || err != nil {
			break
		}
	}
	return gone, err
}
