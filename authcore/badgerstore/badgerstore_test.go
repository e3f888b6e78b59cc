package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Engine{
		New: func(t testing.TB, now func() time.Time) store.Store {
			return openTest(t, t.TempDir(), Options{Now: now})
		},
		Reopen: func(t testing.TB, closed store.Store, now func() time.Time) store.Store {
			return openTest(t, closed.(*Store).dir, Options{Now: now})
		},
	})
}

func openTest(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// TestCloseWithoutDirectory: Badger tries for ever to write what it has in memory
// where there is nothing to write to any more.
func TestCloseWithoutDirectory(t *testing.T) {
	for name, replace := range map[string]func(dir string) error{
		"gone":             func(string) error { return nil },
		"a file":           func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"an unmounted one": func(dir string) error { return os.Mkdir(dir, 0o500) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			s.room.every = 0
			put(t, s, "k", `1`)
			if err := errors.Join(os.RemoveAll(dir), replace(dir)); err != nil {
				t.Fatal(err)
			}
			err = s.Update(t.Context(), func(store.Tx) error { return nil })
			if err == nil || s.Health().Err == nil {
				t.Errorf("an update without a directory: %v, health %v", err, s.Health().Err)
			}
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			select {
			case err := <-closed:
				if err == nil && name != "an unmounted one" { // root may write there
					t.Error("Close tells nothing")
				}
			case <-time.After(time.Minute):
				t.Error("Close does not end")
			}
			if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil { // now Badger ends
				t.Error(err)
			}
		})
	}
}

// TestCloseLeavesNothing: no goroutine, no open file, no mapping.
func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for i := range 3 {
		s, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, "k", `1`)
		if n := runtime.NumGoroutine(); n > 40 {
			t.Errorf("open %d: %d goroutines", i, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile("/proc/self/maps"); strings.Contains(string(b), dir) {
		t.Errorf("%s is still mapped", dir)
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if path, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(path, dir) {
			t.Errorf("%s is still open", path)
		}
	}
}
