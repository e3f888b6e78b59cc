package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// fillWith writes n records of 500 bytes that Badger may drop at expires, a
// time in seconds.
func fillWith(t *testing.T, s *Store, prefix string, n int, expires uint64) {
	t.Helper()
	value := encode(fmt.Appendf(nil, `"%0490d"`, 1), time.Time{})
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()
	for i := range n {
		e := badger.NewEntry(dbKey(fmt.Sprintf("%s%06d", prefix, i)), value)
		e.ExpiresAt = expires
		if err := batch.SetEntry(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Flush(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "after "+prefix, `1`) // has the store look at its disk
}

// sizeOf has the store look at its disk before it is measured.
func sizeOf(t *testing.T, s *Store) int64 {
	t.Helper()
	put(t, s, "k", `1`)
	return s.Health().SizeBytes
}

// TestCollectFreesExpired has records expire after they have sunk to the last
// level, where Badger alone would leave them.
func TestCollectFreesExpired(t *testing.T) {
	t.Parallel()
	s := openTest(t, t.TempDir(), Options{})
	ctx := context.Background()
	fillWith(t, s, "live/", 100, 0)
	empty := sizeOf(t, s)
	// On a busy machine writing may take longer than the records live: then once
	// more, with longer ones.
	life := time.Duration(0)
	for size := empty; size < empty+8<<20; {
		if life += 4 * time.Second; life > time.Minute {
			t.Fatalf("records of a minute are gone at once: %d bytes, %d when empty", size, empty)
		}
		fillWith(t, s, "dead/", 18_000, uint64(time.Now().Add(life).Unix()))
		if err := s.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		size = sizeOf(t, s)
	}
	for deadline := time.Now().Add(life + 20*time.Second); ; {
		if err := s.Collect(ctx); err != nil {
			t.Fatal(err)
		}
		size := sizeOf(t, s)
		if size < empty+1<<20 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes after everything has expired, %d when empty", size, empty)
		}
	}
	for i := range 100 {
		if get(t, s, fmt.Sprintf("live/%06d", i)) == "" {
			t.Fatalf("live record %d is gone", i)
		}
	}
}

// TestCollectKeepsRecords collects under load.
func TestCollectKeepsRecords(t *testing.T) {
	t.Parallel()
	s := openTest(t, t.TempDir(), Options{})
	fillWith(t, s, "other/", 10_000, 0)
	done := make(chan error)
	go func() {
		for range 5 {
			if err := s.Collect(context.Background()); err != nil {
				done <- err
				return
			}
		}
		close(done)
	}()
	n := 0
	for running := true; running; n++ {
		put(t, s, fmt.Sprint("k", n), fmt.Sprint(n))
		put(t, s, "same", fmt.Sprint(n))
		select {
		case err, failed := <-done:
			if failed {
				t.Fatal(err)
			}
			running = false
		default:
		}
	}
	for i := range n {
		if get(t, s, fmt.Sprint("k", i)) != fmt.Sprint(i) {
			t.Fatalf("record %d is gone", i)
		}
	}
	if got := get(t, s, "same"); got != fmt.Sprint(n-1) {
		t.Errorf("the replaced record is %s, want %d", got, n-1)
	}
}

// TestMaxBytes: a store above its size refuses updates and reads on.
func TestMaxBytes(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	put(t, s, "k", `1`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{MaxBytes: 1 << 20})
	err := s.Update(context.Background(), func(store.Tx) error {
		t.Error("fn ran")
		return nil
	})
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("Update says %v, want ErrFull", err)
	}
	if h := s.Health(); !errors.Is(h.Err, store.ErrFull) || h.SizeBytes < 1<<20 || h.FreeBytes == 0 {
		t.Errorf("Health is %+v", h)
	}
	if get(t, s, "k") != `1` {
		t.Error("the record is gone")
	}
}

// TestReserve: with less than the reserve free, the same.
func TestReserve(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{ReserveBytes: 1 << 60})
	err := s.Update(context.Background(), func(store.Tx) error { return nil })
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("Update says %v, want ErrFull", err)
	}
}
