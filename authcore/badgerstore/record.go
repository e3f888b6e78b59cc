package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// A record is stored as eight bytes of expiry (big-endian nanoseconds since
// 1970, 0 is never) followed by its JSON, at its key behind one letter, which
// keeps ours apart from Badger's own keys.
const (
	headerLen = 8
	recordKey = 'r'

	// entryOverhead is more than Badger counts for an entry besides its key
	// and value, and than a node of its skip list takes (96 bytes), by which
	// it bounds the number of entries.
	entryOverhead = 128

	// garbageSlack is how much longer than its record an entry is kept, so
	// that a clock set back does not find it collected.
	garbageSlack = time.Hour
)

func dbKey(key string) []byte { return appendKey(nil, key) }

func appendKey(to []byte, key string) []byte { return append(append(to, recordKey), key...) }

func encode(value []byte, expires time.Time) []byte {
	b := make([]byte, headerLen, headerLen+len(value))
	binary.BigEndian.PutUint64(b, uint64(nanos(expires)))
	return append(b, value...)
}

func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261: // what int64 holds
		return math.MaxInt64
	}
	return t.UnixNano()
}

// decode returns a record's value, nil if it has expired at now.
func decode(b []byte, now time.Time) (value []byte, expires time.Time, err error) {
	if len(b) < headerLen {
		return nil, time.Time{}, errors.New("badgerstore: a record is damaged: restore the store from a backup")
	}
	if n := int64(binary.BigEndian.Uint64(b)); n != 0 {
		if expires = time.Unix(0, n); !now.Before(expires) {
			return nil, expires, nil
		}
	}
	return b[headerLen:], expires, nil
}

// garbageTime is when Badger may drop an entry, in whole seconds of the real
// clock, 0 for never. It is late on purpose: the record itself says when it
// ends.
func garbageTime(expires, now time.Time) uint64 {
	if expires.IsZero() {
		return 0
	}
	return uint64(time.Now().Add(expires.Sub(now)+garbageSlack).Unix() + 1)
}

// reader reads a snapshot.
type reader struct {
	txn *badger.Txn
	now time.Time
	key []byte // the last one looked up; its memory is used for the next
}

func (r *reader) get(key string) ([]byte, error) {
	r.key = appendKey(r.key[:0], key)
	item, err := r.txn.Get(r.key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("badgerstore: reading: %w", cause(err))
	}
	b, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: reading: %w", cause(err))
	}
	value, _, err := decode(b, r.now)
	return value, err
}

func (r *reader) Scan(prefix, after string, limit int) ([]store.Item, error) {
	opts := badger.IteratorOptions{Prefix: dbKey(prefix)}
	it := r.txn.NewIterator(opts)
	defer it.Close()
	var items []store.Item
	for it.Seek(dbKey(start(prefix, after))); len(items) < limit && it.Valid(); it.Next() {
		item, err := r.item(it.Item())
		if err != nil {
			return nil, err
		}
		if item.Value != nil {
			items = append(items, item)
		}
	}
	return items, nil
}

// start is the least key that Scan may return.
func start(prefix, after string) string {
	if after < prefix {
		return prefix
	}
	return after + "\x00"
}

func (r *reader) item(i *badger.Item) (store.Item, error) {
	b, err := i.ValueCopy(nil)
	if err != nil {
		return store.Item{}, fmt.Errorf("badgerstore: reading: %w", cause(err))
	}
	value, expires, err := decode(b, r.now)
	return store.Item{Key: string(i.Key()[1:]), Value: value, Expires: expires}, err
}

// tx is a store.Tx. It keeps an update's writes to itself until the update's
// function has succeeded.
type tx struct {
	reader
	writes map[string]*write // nil in a View
	err    error             // the first refused Put or Delete
}

// write is what will be stored at a key; without a value the key is deleted.
type write struct {
	value   []byte
	expires time.Time
}

func (t *tx) Get(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		err := store.CheckKey(key)
		if w, ok := t.writes[key]; err == nil && !ok {
			values[i], err = t.get(key)
		} else if ok && w.value != nil {
			values[i] = append([]byte{}, w.value[headerLen:]...)
		}
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (t *tx) Put(key string, value []byte, expires time.Time) {
	w := &write{expires: expires}
	if expires.IsZero() || t.now.Before(expires) {
		w.value = encode(value, expires)
	}
	t.write(key, w, store.CheckRecord(key, value))
}

func (t *tx) Delete(key string) {
	t.write(key, &write{}, store.CheckKey(key))
}

func (t *tx) write(key string, w *write, err error) {
	if t.writes == nil {
		panic("badgerstore: a write inside View")
	}
	if t.err == nil {
		t.err = err
	}
	t.writes[key] = w
}

// size is at least what Badger will count for the writes.
func (t *tx) size() int64 {
	size := 0
	for key, w := range t.writes {
		size += len(key) + len(w.value) + entryOverhead
	}
	return int64(size)
}
