package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store is a transactional key-value store with expiry. It is the only thing
// an engine has to provide: every rule about codes, sessions and limits is
// written once, in the rooms above, on top of it. Package storetest holds the
// conformance suite that every engine passes.
//
// Keys are non-empty ASCII, at most 512 bytes, without NUL. Values are JSON,
// at most 64 KiB.
type Store interface {
	// View runs fn over a consistent snapshot. The Tx is read-only: Put and
	// Delete panic. It is valid only until fn returns.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn and commits what it put and deleted: all of it or, when
	// fn returns an error (which Update returns unchanged) or panics, none of
	// it. Updates are serializable over the keys they got: two that read the
	// same key do not both act on the same value. When Update returns nil,
	// what fn wrote is on disk and survives a power cut.
	//
	// fn may run more than once, so it must reset what it sets outside
	// itself, and it must not call the store again. An error other than fn's
	// own leaves it unknown whether the write happened.
	Update(ctx context.Context, fn func(Tx) error) error

	// Close waits for the updates under way, refuses later calls with
	// ErrClosed and gives up the engine. It may be called more than once.
	Close() error
}

// Shared is a Store that several processes, its nodes, use at once.
type Shared interface {
	Store

	// Node names this process, by an id that no other has had: it is part of keys.
	Node() string

	// Gone tells whether a node has left, or was silent for 15 seconds in which this
	// one was not. An id that is no node's is gone. It asks the engine.
	Gone(ctx context.Context, node string) (bool, error)

	// OnLost has putRight called once the engine has come back without what this node
	// knows to have been there, and after it has put back what it remembers itself. Until
	// putRight returns nil all other calls wait, and fail with ErrLost after a while;
	// putRight uses the Store that it is given, and may be called again.
	OnLost(putRight func(context.Context, Store, Lost) error)
}

// Lost is what an engine tells of its memory once it has lost some.
type Lost struct {
	Seen    time.Time // when this node saw it whole last
	Clashes []Item    // what this node wrote last at keys that others have written to since
}

// Tx is one transaction of a Store.
type Tx interface {
	// Get reads keys in one round trip and returns their values in the same
	// order; nil for one that is absent or expired. Inside an Update it sees
	// what the same Update has put. The caller owns the slices.
	Get(keys ...string) ([][]byte, error)

	// Put sets key to a copy of value until expires; the zero time means for
	// ever. A time that has passed is allowed and makes the key absent.
	Put(key string, value []byte, expires time.Time)

	// Delete removes key. Deleting an absent key does nothing.
	Delete(key string)

	// Scan returns up to limit live items whose key begins with prefix and is
	// greater than after (empty: from the beginning), in key order. It is a
	// snapshot: inside an Update it need not see that Update's own writes, and
	// no decision inside an Update may rest on it.
	Scan(prefix, after string, limit int) ([]Item, error)
}

// Item is one record that Tx.Scan found.
type Item struct {
	Key     string
	Value   []byte
	Expires time.Time // zero: never
}

var (
	// ErrClosed is returned by a Store after Close.
	ErrClosed = errors.New("the store is closed")

	// ErrLost is returned by a Shared Store that has lost what was already written,
	// until that is put back.
	ErrLost = errors.New("the store came back without what was already written to it; it is being put back")

	// ErrFull is returned by Store.Update while the disk, or the size the
	// store may take, has no room left. Reads go on; writing works again by
	// itself once there is room.
	ErrFull = errors.New("the store has no room left")
)

// View runs fn over a snapshot of s and returns what it returned last, the zero
// value with an error.
func View[T any](ctx context.Context, s Store, fn func(Tx) (T, error)) (T, error) {
	return result(ctx, s.View, fn)
}

// Update runs fn and commits what it put and deleted. It returns what the run
// that was committed returned, the zero value with an error: fn may run again,
// and what an earlier run returned is forgotten.
func Update[T any](ctx context.Context, s Store, fn func(Tx) (T, error)) (T, error) {
	return result(ctx, s.Update, fn)
}

// Each runs do for every key of s that begins with prefix, a few in one transaction.
func Each(ctx context.Context, s Store, prefix string, do func(tx Tx, key string) error) error {
	const page = 50
	for after := ""; ; {
		keys, err := View(ctx, s, func(tx Tx) (keys []string, err error) {
			items, err := tx.Scan(prefix, after, page)
			for _, item := range items {
				keys = append(keys, item.Key)
			}
			return keys, err
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		after = keys[len(keys)-1]
		if err := s.Update(ctx, func(tx Tx) error {
			tx, err := ReadAhead(tx, keys...)
			for _, key := range keys {
				if err == nil {
					err = do(tx, key)
				}
			}
			return err
		}); err != nil {
			return err
		}
	}
}

// IDs returns what follows prefix in all keys that begin with it.
func IDs(tx Tx, prefix string) (ids []string, err error) {
	const page = 200
	for after := ""; ; {
		items, err := tx.Scan(prefix, after, page)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			after = item.Key
			ids = append(ids, after[len(prefix):])
		}
		if len(items) < page {
			return ids, nil
		}
	}
}

func result[T any](ctx context.Context, run func(context.Context, func(Tx) error) error, fn func(Tx) (T, error)) (T, error) {
	var got T
	err := run(ctx, func(tx Tx) (err error) {
		got, err = fn(tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return got, nil
}

// The limits of a Store's records. They are what the smallest engine can take,
// so that a record which fits one engine fits all.
const (
	MaxKeyLen   = 512       // bytes
	MaxValueLen = 64 * 1024 // bytes
)

// CheckKey tells whether key may be used with a Store: non-empty, printable or
// not but ASCII, without NUL, at most MaxKeyLen bytes. Engines call it, so that
// none truncates, folds or reinterprets a key that another keeps.
//
// The error does not repeat the key, which may hold an address.
func CheckKey(key string) error {
	if key == "" {
		return fmt.Errorf("store: empty key")
	}
	if len(key) > MaxKeyLen {
		return fmt.Errorf("store: key of %d bytes: at most %d are allowed", len(key), MaxKeyLen)
	}
	for i := range len(key) {
		if c := key[i]; c == 0 || c >= 0x80 {
			return fmt.Errorf("store: byte %#02x at %d in a key: only ASCII without NUL is allowed", c, i)
		}
	}
	return nil
}

// CheckRecord tells whether a Store may put value at key: CheckKey, and a value
// of 1 to MaxValueLen bytes. That it is JSON is up to who puts it; an engine may
// refuse what is not, and memstore, which tests run on, does.
func CheckRecord(key string, value []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(value) > MaxValueLen {
		return fmt.Errorf("store: value of %d bytes: at most %d are allowed", len(value), MaxValueLen)
	}
	if len(value) == 0 {
		return fmt.Errorf("store: empty value")
	}
	return nil
}
