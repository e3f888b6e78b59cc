package storetest

import (
	"fmt"
	"sort"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var scanPromises = []promise{
	{name: "Scan goes by key order and prefix", test: scanOrder},
	{name: "Scan pages", test: scanPages},
	{name: "Scan returns what was put", test: scanReturns},
	{name: "Scan passes over the dead", test: scanPassesOver},
	{name: "Scan keeps to its limit", test: func(s *subject) {
		s.put("k1", `1`, never)
		s.put("k2", `1`, never)
		s.wantKeys(s.scan("k", "", 0))
		s.wantKeys(s.scan("k", "", 1), "k1")
		s.wantKeys(s.scan("k", "", 1000), "k1", "k2")
	}},
	{name: "Scan works inside Update", test: func(s *subject) {
		s.put("k1", `1`, never)
		s.put("k2", `1`, never)
		s.update(func(tx store.Tx) error {
			for range 2 {
				items, err := tx.Scan("k", "", 10)
				if err != nil {
					return err
				}
				s.wantKeys(items, "k1", "k2")
			}
			return nil
		})
	}},
}

// scanOrder uses keys that sort differently by a language's rules than by
// their bytes, and that a careless LIKE would take for patterns.
func scanOrder(s *subject) {
	keys := []string{"A", "B", "a", "a\x01", "a!", "a%", "a%b", "a-b", "a/", "a/b", "a/b/c", "a0", "aB", "a\\", "a_", "a_b", "ab", "a~", "a\x7f", "a\x7fb", "b", "~"}
	s.update(func(tx store.Tx) error {
		for i := range keys {
			tx.Put(keys[(i*5)%len(keys)], []byte(`{}`), never)
		}
		return nil
	})
	sort.Strings(keys)
	for _, prefix := range append([]string{"", "a/b", "zz", "a\x7f\x7f"}, keys...) {
		for _, after := range append([]string{"", "\x01", "a\"", "\x7f"}, keys...) {
			var want []string
			for _, key := range keys {
				if len(key) >= len(prefix) && key[:len(prefix)] == prefix && key > after {
					want = append(want, key)
				}
			}
			s.wantKeys(s.scan(prefix, after, 100), want...)
			if s.Failed() {
				s.Fatalf("that was Scan(%q, %q, 100)", prefix, after)
			}
		}
	}
}

func scanPages(s *subject) {
	const n = 1000
	s.update(func(tx store.Tx) error {
		for i := range n {
			tx.Put(fmt.Sprintf("p/%04d", i), fmt.Appendf(nil, `{"i":%d}`, i), never)
		}
		tx.Put("p", []byte(`{}`), never)
		tx.Put("p0", []byte(`{}`), never)
		return nil
	})
	found, after := 0, ""
	for {
		items := s.scan("p/", after, 33)
		for _, item := range items {
			if want := fmt.Sprintf("p/%04d", found); item.Key != want {
				s.Fatalf("item %d is %q, want %q", found, item.Key, want)
			}
			found, after = found+1, item.Key
		}
		if len(items) < 33 {
			break
		}
	}
	if found != n {
		s.Errorf("paging found %d items, want %d", found, n)
	}
}

func scanReturns(s *subject) {
	soon := s.clock.Now().Add(time.Hour)
	s.put("k/soon", `{"n":1}`, soon)
	s.put("k/always", `[2]`, never)
	items := s.scan("k/", "", 10)
	if len(items) != 2 {
		s.Fatalf("found %d items, want 2", len(items))
	}
	if !items[0].Expires.IsZero() || !sameJSON(string(items[0].Value), `[2]`) {
		s.Errorf("found %s until %v, want [2] for ever", items[0].Value, items[0].Expires)
	}
	if off := items[1].Expires.Sub(soon); off.Abs() > time.Microsecond || !sameJSON(string(items[1].Value), `{"n":1}`) {
		s.Errorf("found %s until %v, want {\"n\":1} until %v", items[1].Value, items[1].Expires, soon)
	}
}

// scanPassesOver: dead records neither show nor use up the limit.
func scanPassesOver(s *subject) {
	for i := range 40 {
		key := fmt.Sprintf("k%02d", i)
		switch {
		case i%10 == 5:
			s.put(key, `1`, never)
		case i%2 == 0:
			s.put(key, `1`, s.clock.Now().Add(time.Minute))
		default:
			s.put(key, `1`, never)
			s.remove(key)
		}
	}
	s.clock.move(time.Minute)
	s.wantKeys(s.scan("k", "", 3), "k05", "k15", "k25")
	s.wantKeys(s.scan("k", "k15", 3), "k25", "k35")
}
