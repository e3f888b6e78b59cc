package store

import (
	"bytes"
	"time"
)

// ReadAhead reads keys in one round trip, and returns tx such that it answers
// from them. So each rule loads its records where it needs them, and a call that
// knows beforehand what that will be looks at the store once.
func ReadAhead(tx Tx, keys ...string) (Tx, error) {
	a, ok := tx.(*ahead)
	if !ok {
		a = &ahead{Tx: tx, read: make(map[string][]byte, len(keys))}
	}
	return a, a.fetch(keys)
}

// ahead is a transaction with what was read in it. What is put is the engine's to
// answer.
type ahead struct {
	Tx
	read map[string][]byte // nil: not there
}

func (a *ahead) fetch(keys []string) error {
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
func (a *ahead) Get(keys ...string) ([][]byte, error) {
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
func (a *ahead) Put(key string, value []byte, expires time.Time) {
	delete(a.read, key)
	a.Tx.Put(key, value, expires)
}

// Delete implements Tx.
func (a *ahead) Delete(key string) {
	delete(a.read, key)
	a.Tx.Delete(key)
}
