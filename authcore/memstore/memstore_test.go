package memstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		New: func(_ testing.TB, now func() time.Time) authcore.Store {
			return memstore.New(memstore.WithNow(now))
		},
	})
}

// Every test of the rooms above runs on this store, so it sees what they write.
func TestValuesAreJSON(t *testing.T) {
	store := memstore.New()
	defer store.Close()
	for _, value := range []string{"text", `{"a":`, `1 2`} {
		err := store.Update(t.Context(), func(tx authcore.Tx) error {
			tx.Put("k", []byte(value), time.Time{})
			return nil
		})
		if err == nil {
			t.Errorf("%s was taken", value)
		}
	}
}

func ExampleNew() {
	store := memstore.New()
	defer store.Close()
	ctx := context.Background()
	_ = store.Update(ctx, func(tx authcore.Tx) error {
		tx.Put("greeting", []byte(`"hello"`), time.Now().Add(time.Hour))
		return nil
	})
	_ = store.View(ctx, func(tx authcore.Tx) error {
		values, err := tx.Get("greeting", "absent")
		fmt.Printf("%s, %v\n", values[0], values[1] == nil)
		return err
	})
	// Output: "hello", true
}
