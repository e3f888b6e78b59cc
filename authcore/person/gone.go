package person

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

// MarkGone notes that a person or an organization is gone, a membership (of an
// organization, a person) or a contact (of a person, its id).
func MarkGone(tx store.Tx, now time.Time, ids ...string) error {
	return store.Save(tx, goneKey(ids), now, now.Add(goneKept))
}

// GoneAt is when what ids name went, zero for what is not gone.
func GoneAt(tx store.Tx, ids ...string) (at time.Time, err error) {
	_, err = store.Load(tx, goneKey(ids), &at)
	return at, err
}

// AreGone tells whether any of the people and organizations is gone for good.
func AreGone(tx store.Tx, ids ...string) (bool, error) {
	for _, id := range ids {
		if at, err := GoneAt(tx, id); !at.IsZero() || err != nil {
			return true, err
		}
	}
	return false, nil
}
