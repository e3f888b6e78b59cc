package storetest

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var background = context.Background()

var limitPromises = []promise{
	{name: "keys of every kind are told apart", test: oddKeys},
	{name: "values of every kind come back", test: oddValues},
	{name: "the largest values fit", test: largeValues},
	{name: "what breaks the limits is refused whole", test: refusals},
}

func oddKeys(s *subject) {
	long := strings.Repeat("k", store.MaxKeyLen-1)
	keys := []string{
		long + "1", long + "2", long, "a", "A", "a ", " a", " ", "a\x01", "a\n", "\x7f", "a%", "a_", `a\`, `a'b"`,
		"!badger!txn", "!badger!", "$1", "NULL", "a/../b", "a:b|c", "\x1f",
	}
	for i, key := range keys {
		s.put(key, fmt.Sprint(i), never)
	}
	for i, key := range keys {
		s.want(key, fmt.Sprint(i))
	}
	if found := len(s.scan("", "", 100)); found != len(keys) {
		s.Errorf("Scan found %d keys, want %d", found, len(keys))
	}
}

func oddValues(s *subject) {
	for _, value := range []string{
		`null`, `true`, `0`, `-1.25`, `12345678901234567890`, `""`, `"ü 😀 \n \u2028 </script>"`, `[]`, `{}`,
		`{"":1}`, `{"a":{"b":[1,"2",null,{"c":[]}]}}`, ` { "a" : 1 } `,
	} {
		s.put("k", value, never)
		s.want("k", value)
	}
}

func largeValues(s *subject) {
	large := `"` + strings.Repeat("x", store.MaxValueLen-2) + `"`
	s.update(func(tx store.Tx) error {
		for i := range 8 {
			tx.Put(fmt.Sprint("k", i), []byte(large), never)
		}
		return nil
	})
	for i := range 8 {
		s.want(fmt.Sprint("k", i), large)
	}
}

// refusals: an engine that cut a key would mix up two people's records.
func refusals(s *subject) {
	tooLong := strings.Repeat("k", store.MaxKeyLen+1)
	for _, key := range []string{"", tooLong, "nul\x00", "ü", "\x80"} {
		s.wantRefused("Put of a bad key", func(tx store.Tx) { tx.Put(key, []byte(`1`), never) })
		s.wantRefused("Delete of a bad key", func(tx store.Tx) { tx.Delete(key) })
		err := s.store.View(background, func(tx store.Tx) error {
			_, err := tx.Get("good", key)
			return err
		})
		if err == nil {
			s.Errorf("Get took the key %s", shown(fmt.Sprintf("%q", key)))
		}
	}
	for _, value := range []string{"", `"` + strings.Repeat("x", store.MaxValueLen) + `"`} {
		s.wantRefused("Put of a bad value", func(tx store.Tx) { tx.Put("k", []byte(value), never) })
	}
}

// wantRefused fails unless an Update with one bad write is an error and keeps
// nothing, the good writes beside it included.
func (s *subject) wantRefused(what string, write func(store.Tx)) {
	s.Helper()
	err := s.store.Update(background, func(tx store.Tx) error {
		tx.Put("before", []byte(`1`), never)
		write(tx)
		tx.Put("behind", []byte(`1`), never)
		return nil
	})
	if err == nil {
		s.Errorf("%s was taken", what)
	}
	s.wantKeys(s.scan("", "", 10))
}
