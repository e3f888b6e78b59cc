package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// counted is a transaction on a map that counts how often it is asked.
type counted struct {
	store.Tx
	values map[string]string
	gets   int
	fails  error
}

func (c *counted) Get(keys ...string) ([][]byte, error) {
	c.gets++
	values := make([][]byte, len(keys))
	for i, key := range keys {
		if v, ok := c.values[key]; ok {
			values[i] = []byte(v)
		}
	}
	return values, c.fails
}

func (c *counted) Put(key string, value []byte, _ time.Time) { c.values[key] = string(value) }
func (c *counted) Delete(key string)                         { delete(c.values, key) }

func TestReadAheadAsksOnce(t *testing.T) {
	c := &counted{values: map[string]string{"a": "1", "b": "2"}}
	tx, err := store.ReadAhead(c, "a", "b", "none", "a")
	if err != nil {
		t.Fatal(err)
	}
	sees := func(what string, gets int, want map[string]string) {
		t.Helper()
		for key, value := range want {
			got, err := tx.Get(key)
			if err != nil || string(got[0]) != value || (got[0] == nil) != (value == "") {
				t.Errorf("%s: %s is %q, %v, want %q", what, key, got, err, value)
			}
			if got[0] != nil {
				got[0][0] = 'x' // the caller owns it
			}
		}
		if c.gets != gets {
			t.Errorf("%s: asked %d times, want %d", what, c.gets, gets)
		}
	}
	for range 2 {
		sees("what was read", 1, map[string]string{"a": "1", "b": "2", "none": ""})
	}
	again, err := store.ReadAhead(tx, "b", "c")
	if err != nil || again != tx {
		t.Fatal("what was read before is forgotten", err)
	}
	sees("one more", 2, map[string]string{"a": "1", "c": ""})
	tx.Put("a", []byte("3"), time.Time{})
	tx.Put("none", []byte("4"), time.Time{})
	tx.Delete("b")
	sees("what was written", 5, map[string]string{"a": "3", "none": "4", "b": ""})
	c.fails = errors.New("gone")
	if _, err := tx.Get("other"); !errors.Is(err, c.fails) {
		t.Error("a failure is taken for absence")
	}
	if _, err := store.ReadAhead(c, "a"); !errors.Is(err, c.fails) {
		t.Error("a failure is taken for absence")
	}
}
