package badgerstore

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// residentTables is how many bytes of the tables in dir this process has in
// memory.
func residentTables(t *testing.T, dir string) (resident int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inTable := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if m, ok := parseMapping(line); ok || strings.Contains(strings.SplitN(line, " ", 2)[0], "-") {
			inTable = ok && strings.HasPrefix(m.path, dir) && strings.HasSuffix(m.path, ".sst")
		} else if size, ok := strings.CutPrefix(line, "Rss:"); ok && inTable {
			kb, _ := strconv.Atoi(strings.Fields(size)[0])
			resident += kb << 10
		}
	}
	return resident
}

func TestMemoryOfTablesIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{})
	var next atomic.Int64
	const n = 40_000
	putAll(t, s, &next, 64, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, dir, Options{})
	count := func() (found int) {
		t.Helper()
		if err := s.View(context.Background(), func(tx authcore.Tx) error {
			items, err := tx.Scan("bench/", "", n+1)
			found = len(items)
			return err
		}); err != nil {
			t.Error(err)
		}
		return found
	}
	if found := count(); found != n {
		t.Fatalf("%d records, want %d", found, n)
	}
	before, after := residentTables(t, s.dir), -1
	for range 50 { // compaction may make a table in between
		s.letGo()
		if after = residentTables(t, s.dir); after == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if before < 4<<20 || after != 0 {
		t.Errorf("%d bytes were in memory, %d are left", before, after)
	}
	if found := count(); found != n {
		t.Errorf("then %d records, want %d", found, n)
	}
}

func TestParseMapping(t *testing.T) {
	const line = "7f3c2a000000-7f3c2a200000 rw-s 00000000 fe:00 12345                      /srv/my store/000001.sst"
	m, ok := parseMapping(line)
	if want := (mapping{0x7f3c2a000000, 0x7f3c2a200000, "/srv/my store/000001.sst"}); !ok || m != want {
		t.Errorf("%+v", m)
	}
	for _, other := range []string{"", "7f3c2a000000-7f3c2a200000 rw-p 00000000 00:00 0 ", "c000000000-c000400000 rw-p 00000000 00:00 0 [heap]", "x-y rw-s 0 fe:00 1 /a", "Rss:   4 kB"} {
		if m, ok := parseMapping(other); ok {
			t.Errorf("%q was read as %+v", other, m)
		}
	}
}
