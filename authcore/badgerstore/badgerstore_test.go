package badgerstore

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		New: func(t testing.TB, now func() time.Time) authcore.Store {
			return openTest(t, t.TempDir(), Options{Now: now})
		},
		Reopen: func(t testing.TB, closed authcore.Store, now func() time.Time) authcore.Store {
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
