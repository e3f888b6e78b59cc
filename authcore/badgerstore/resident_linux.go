package badgerstore

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// letGo gives back the memory in which tables are mapped, mostly for their
// indexes: opening reads them all, an idle store needs none, and what is asked
// for comes back from the system's cache.
//
// Giving back what is no longer mapped would erase whatever has taken its place
// in memory. So an iterator holds the tables meanwhile: it has a reference to
// each that was there both before and after it was made.
func (s *Store) letGo() {
	before := tablesOf(s.db)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	defer txn.NewIterator(badger.IteratorOptions{AllVersions: true}).Close()
	held := tablesOf(s.db)
	maps.DeleteFunc(held, func(name string, level int) bool {
		was, ok := before[name]
		return !ok || was != level
	})
	list, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(list)) {
		m, ok := parseMapping(strings.TrimSuffix(line, "\n"))
		if _, isHeld := held[filepath.Base(m.path)]; ok && isHeld && filepath.Dir(m.path) == s.dir {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
		}
	}
}

// tablesOf are the names of the tables now, with their levels.
func tablesOf(db *badger.DB) map[string]int {
	tables := map[string]int{}
	for _, t := range db.Tables() {
		tables[table.IDToFilename(t.ID)] = t.Level
	}
	return tables
}

type mapping struct {
	from, to uintptr
	path     string
}

// parseMapping reads a line of /proc/self/maps: addresses, permissions, offset,
// device and inode, then the path.
func parseMapping(line string) (m mapping, ok bool) {
	at := strings.IndexByte(line, '/')
	if at < 0 {
		return m, false
	}
	from, rest, _ := strings.Cut(line[:at], "-")
	to, _, _ := strings.Cut(rest, " ")
	first, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	end, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	return mapping{uintptr(first), uintptr(end), line[at:]}, err1 == nil && err2 == nil
}
