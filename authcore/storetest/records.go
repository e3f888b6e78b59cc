package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

var recordPromises = []promise{
	{name: "an absent key is nil", test: func(s *subject) { s.want("absent", "") }},
	{name: "Get answers in order", test: getInOrder},
	{name: "the caller owns the slices", test: callerOwns},
	{name: "Put replaces", test: func(s *subject) {
		s.put("k", `{"n":1}`, never)
		s.put("k", `{"n":2}`, never)
		s.want("k", `{"n":2}`)
	}},
	{name: "Delete removes", test: func(s *subject) {
		s.put("k", `1`, never)
		s.remove("k")
		s.remove("never was")
		s.want("k", "")
	}},
	{name: "the last write of an Update counts", test: lastWriteCounts},
	{name: "an Update sees its own writes", test: readYourWrites},
	{name: "View is read-only", test: viewIsReadOnly},
	{name: "View returns fn's error", test: viewReturnsError},
}

func getInOrder(s *subject) {
	s.put("a", `"A"`, never)
	s.put("b", `"B"`, never)
	s.view(func(tx store.Tx) error {
		values, err := tx.Get("b", "absent", "a", "b")
		if err != nil {
			return err
		}
		if len(values) != 4 || string(values[0]) != `"B"` || values[1] != nil || string(values[2]) != `"A"` || string(values[3]) != `"B"` {
			s.Errorf("Get(b, absent, a, b) = %q", values)
		}
		values, err = tx.Get()
		if len(values) != 0 {
			s.Errorf("Get() = %q", values)
		}
		return err
	})
}

// callerOwns overwrites every slice it was given or gave away.
func callerOwns(s *subject) {
	s.update(func(tx store.Tx) error {
		given := []byte(`"kept"`)
		tx.Put("k", given, never)
		copy(given, `"XXXX"`)
		got, err := tx.Get("k")
		if err != nil {
			return err
		}
		copy(got[0], `"YYYY"`)
		return nil
	})
	s.want("k", `"kept"`)
	s.view(func(tx store.Tx) error {
		got, err := tx.Get("k")
		if err != nil {
			return err
		}
		copy(got[0], `"ZZZZ"`)
		items, err := tx.Scan("k", "", 1)
		for _, item := range items {
			copy(item.Value, `"WWWW"`)
		}
		return err
	})
	s.want("k", `"kept"`)
}

func lastWriteCounts(s *subject) {
	s.update(func(tx store.Tx) error {
		tx.Put("put twice", []byte(`1`), never)
		tx.Put("put twice", []byte(`2`), never)
		tx.Put("put and deleted", []byte(`1`), never)
		tx.Delete("put and deleted")
		tx.Delete("deleted and put")
		tx.Put("deleted and put", []byte(`1`), never)
		return nil
	})
	s.want("put twice", `2`)
	s.want("put and deleted", "")
	s.want("deleted and put", `1`)
}

func readYourWrites(s *subject) {
	s.put("old", `1`, never)
	s.put("dropped", `1`, never)
	s.update(func(tx store.Tx) error {
		tx.Put("old", []byte(`2`), never)
		tx.Put("new", []byte(`3`), s.clock.Now().Add(time.Minute))
		tx.Put("past", []byte(`4`), s.clock.Now().Add(-time.Minute))
		tx.Delete("dropped")
		values, err := tx.Get("old", "new", "past", "dropped")
		if err != nil {
			return err
		}
		if got := fmt.Sprintf("%s", values); got != "[2 3  ]" || values[2] != nil || values[3] != nil {
			s.Errorf("inside the Update: %s", got)
		}
		return nil
	})
}

func viewIsReadOnly(s *subject) {
	for name, write := range map[string]func(store.Tx){
		"Put":    func(tx store.Tx) { tx.Put("k", []byte(`1`), never) },
		"Delete": func(tx store.Tx) { tx.Delete("k") },
	} {
		s.view(func(tx store.Tx) error {
			defer func() {
				if recover() == nil {
					s.Errorf("%s inside View did not panic", name)
				}
			}()
			write(tx)
			return nil
		})
	}
	s.want("k", "")
}

func viewReturnsError(s *subject) {
	mine := errors.New("mine")
	if err := s.store.View(background, func(store.Tx) error { return mine }); err != mine {
		s.Errorf("View returned %v, want fn's error itself", err)
	}
}

var expiryPromises = []promise{
	{name: "a record lives until its time and no longer", test: livesUntil},
	{name: "the zero time is for ever", test: func(s *subject) {
		s.put("k", `1`, never)
		s.clock.move(150 * 365 * 24 * time.Hour)
		s.want("k", `1`)
	}},
	{name: "a time that has passed makes the key absent", test: func(s *subject) {
		s.put("k", `1`, never)
		s.put("k", `2`, s.clock.Now())
		s.want("k", "")
		s.put("never was", `1`, s.clock.Now().Add(-time.Hour))
		s.want("never was", "")
	}},
	{name: "Update finds an expired key absent", test: updateFindsExpired},
	{name: "Put replaces the expiry too", test: func(s *subject) {
		s.put("longer", `1`, s.clock.Now().Add(time.Minute))
		s.put("longer", `2`, s.clock.Now().Add(time.Hour))
		s.put("shorter", `1`, s.clock.Now().Add(time.Hour))
		s.put("shorter", `2`, s.clock.Now().Add(time.Minute))
		s.clock.move(2 * time.Minute)
		s.want("longer", `2`)
		s.want("shorter", "")
	}},
	{name: "a clock set back expires nothing", test: func(s *subject) {
		s.put("k", `1`, s.clock.Now().Add(10*time.Minute))
		s.clock.move(-48 * time.Hour)
		s.put("other", `1`, s.clock.Now().Add(10*time.Minute))
		s.want("k", `1`)
		s.want("other", `1`)
	}},
}

// livesUntil looks right before and at the end: an engine's own clock counts
// in seconds or is late, so the time in the record has to decide.
func livesUntil(s *subject) {
	for _, life := range []time.Duration{time.Nanosecond * 1000, 700 * time.Millisecond, 10 * time.Minute, 400 * 24 * time.Hour} {
		s.put("k", `1`, s.clock.Now().Add(life))
		s.clock.move(life - time.Microsecond)
		s.want("k", `1`)
		s.clock.move(time.Microsecond)
		s.want("k", "")
		s.wantKeys(s.scan("k", "", 10))
	}
}

func updateFindsExpired(s *subject) {
	s.put("k", `1`, s.clock.Now().Add(time.Minute))
	s.clock.move(time.Minute)
	s.update(func(tx store.Tx) error {
		values, err := tx.Get("k")
		if err == nil && values[0] != nil {
			s.Errorf("an Update got %s after it had expired", values[0])
		}
		tx.Put("k", []byte(`2`), s.clock.Now().Add(time.Minute))
		return err
	})
	s.want("k", `2`)
}
