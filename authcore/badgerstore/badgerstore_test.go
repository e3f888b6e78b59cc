package badgerstore

import (
	"os"
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
