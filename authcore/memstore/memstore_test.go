package memstore_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		New: func(_ testing.TB, now func() time.Time) store.Store {
			return memstore.New(memstore.WithNow(now))
		},
	})
}

// Every test of the rooms above runs on this store, so it sees what they write.
func TestValuesAreJSON(t *testing.T) {
	engine := memstore.New()
	defer engine.Close()
	for _, value := range []string{"text", `{"a":`, `1 2`} {
		err := engine.Update(t.Context(), func(tx store.Tx) error {
			tx.Put("k", []byte(value), time.Time{})
			return nil
		})
		if err == nil {
			t.Errorf("%s was taken", value)
		}
	}
}

func ExampleNew() {
	engine := memstore.New()
	defer engine.Close()
	ctx := context.Background()
	_ = engine.Update(ctx, func(tx store.Tx) error {
		tx.Put("greeting", []byte(`"hello"`), time.Now().Add(time.Hour))
		return nil
	})
	_ = engine.View(ctx, func(tx store.Tx) error {
		values, err := tx.Get("greeting", "absent")
		fmt.Printf("%s, %v\n", values[0], values[1] == nil)
		return err
	})
	// Output: "hello", true
}

// An fn that does not reset what it sets outside itself shows here, where engines
// run it again only after a conflict.
func TestUpdateRunsTwice(t *testing.T) {
	s := memstore.New()
	defer s.Close()
	runs := 0
	err := s.Update(t.Context(), func(tx store.Tx) error {
		runs++
		tx.Put("runs", []byte(strconv.Itoa(runs)), time.Time{})
		return nil
	})
	if err != nil || runs != 2 {
		t.Fatal(runs, err)
	}
	kept, err := store.View(t.Context(), s, func(tx store.Tx) (n int, err error) {
		_, err = store.Load(tx, "runs", &n)
		return n, err
	})
	if err != nil || kept != 2 {
		t.Error("what the last run wrote is not kept:", kept, err)
	}
}
