package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Reader is a Tx that reads what it is told beforehand, so that later Gets take no
// round trip. What was not got after all does not stand in the way of a commit.
type Reader interface {
	ReadAhead(keys ...string) error
}

// Ahead are the keys that a record names as read after it: its members "ahead", lists
// of keys, at any depth. An engine behind a network may read them in the same round
// trip. No rule rests on them.
func Ahead(value []byte) (keys []string) {
	if !bytes.Contains(value, []byte(`"ahead":[`)) {
		return nil
	}
	var record any
	if json.Unmarshal(value, &record) == nil {
		keys = ahead(record, nil)
	}
	return keys
}

func ahead(in any, keys []string) []string {
	switch in := in.(type) {
	case []any:
		for _, part := range in {
			keys = ahead(part, keys)
		}
	case map[string]any:
		for name, part := range in {
			list, is := part.([]any)
			if name != "ahead" || !is {
				keys = ahead(part, keys)
				continue
			}
			for _, key := range list {
				if key, is := key.(string); is && CheckKey(key) == nil && !strings.Contains(key, "\n") && !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			}
		}
	}
	return keys
}

// ReadAhead reads keys in one round trip, and returns tx such that it answers
// from them. So each rule loads its records where it needs them, and a call that
// knows beforehand what that will be looks at the store once.
func ReadAhead(tx Tx, keys ...string) (Tx, error) {
	if r, ok := tx.(Reader); ok {
		return tx, r.ReadAhead(keys...)
	}
	a, ok := tx.(*kept)
	if !ok {
		a = &kept{Tx: tx, read: make(map[string][]byte, len(keys))}
	}
	return a, a.fetch(keys)
}

// kept is a transaction with what was read in it. What is put is the engine's to
// answer.
type kept struct {
	Tx
	read map[string][]byte // nil: not there
}

func (a *kept) fetch(keys []string) error {
	missing := make([]string, 0, len(keys))
	for _, key := range keys {
		if _, ok := a.read[key]; !ok {
			missing, a.read[key] = append(missing, key), nil // once
		}
	}
	if len(missing) == 0 {
		return nil
	}
	values, err := a.Tx.Get(missing...)
	if err != nil {
		clear(a.read)
		return err
	}
	for i, key := range missing {
		a.read[key] = values[i]
	}
	return nil
}

// Get implements Tx.
func (a *kept) Get(keys ...string) ([][]byte, error) {
	if err := a.fetch(keys); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = bytes.Clone(a.read[key])
	}
	return values, nil
}

// Put implements Tx.
func (a *kept) Put(key string, value []byte, expires time.Time) {
	delete(a.read, key)
	a.Tx.Put(key, value, expires)
}

// Delete implements Tx.
func (a *kept) Delete(key string) {
	delete(a.read, key)
	a.Tx.Delete(key)
}
