package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sync/errgroup"
)

// Badger leaves out a table with a damaged index, passes over a damaged block
// when it merges tables, and removes a table that its manifest does not list:
// the records in them, used codes among them, would be forgotten. So the tables
// are read through, by Badger's own reader, before Badger may merge them.

const memSuffix = ".mem" // of the log of a memory table

// readAtOpening is how many bytes of tables are read through before the store
// opens, a few milliseconds' work. The others are read right after: until they
// are, a second or two at most, what stood in a damaged block of theirs reads as
// absent.
var readAtOpening int64 = 8 << 20

// checkAfter leaves the machine to those who start.
const checkAfter = 500 * time.Millisecond

// checkTables verifies the tables that Badger is about to map, and returns
// their numbers. The tables in later are still to be read.
func checkTables(dir string, opts badger.Options) (tables map[uint64]bool, later []uint64, err error) {
	manifest, whole, err := readManifest(dir, opts)
	if err != nil {
		return nil, nil, damaged(dir, manifestName, err)
	}
	tables = map[uint64]bool{}
	for id := range manifest.Tables {
		tables[id] = true
	}
	closed, err := checkClosed(dir, tables, whole)
	if err != nil {
		return nil, nil, damaged(dir, manifestName, err)
	}
	now := slices.Sorted(maps.Keys(tables))
	if closed && guarded() == nil { // after a crash Badger makes tables while it opens
		now, later = atOpening(dir, now)
	}
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for id := range tables {
		all.Go(func() error { return checkTable(dir, id, slices.Contains(now, id)) })
	}
	return tables, later, all.Wait()
}

func damaged(dir, name string, err error) error {
	return fmt.Errorf("%s in %s is damaged: %w: restore the directory from a backup", name, dir, err)
}

// atOpening divides tables, whose numbers rise: the newest are read at once, as
// many as readAtOpening holds.
func atOpening(dir string, tables []uint64) (now, later []uint64) {
	left := readAtOpening
	for i, id := range slices.Backward(tables) {
		if info, err := os.Stat(table.NewFilename(id, dir)); err == nil {
			left -= info.Size()
		}
		if left < 0 {
			return tables[i+1:], tables[:i+1]
		}
	}
	return tables, nil
}

// checkTable verifies a table's index and, with blocks, all of the table.
func checkTable(dir string, id uint64, blocks bool) (err error) {
	defer func() {
		if p := recover(); p != nil { // Badger's answer to an index that is none
			err = damaged(dir, table.IDToFilename(id), errors.New("it is cut short or overwritten"))
		}
	}()
	file, err := z.OpenMmapFile(table.NewFilename(id, dir), os.O_RDONLY, 0)
	if err != nil {
		return damaged(dir, table.IDToFilename(id), cause(err))
	}
	mode := options.NoVerification
	if blocks {
		mode = options.OnTableRead
	}
	t, err := table.OpenTable(file, table.Options{ChkMode: mode})
	if err != nil {
		return damaged(dir, table.IDToFilename(id), cause(err))
	}
	return t.Close(-1)
}

// checkLater reads the tables that opening had no time for, and shuts the store
// if one is damaged.
func (s *Store) checkLater(tables []uint64) {
	select {
	case <-time.After(checkAfter):
	case <-s.stop:
	}
	if err := s.room.readRest(tables); err != nil {
		err = fmt.Errorf("badgerstore: %w", err)
		s.damage.Store(&err)
		s.failed.Store(&err)
		s.log.Error("store can't be used any more", "error", err)
	}
}

// readRest reads the tables that opening had no time for. Until it is through
// without an error no new table comes to be (room.allocate): compaction would
// leave out what is damaged, and remove the damaged table.
func (r *room) readRest(tables []uint64) error {
	for _, id := range tables {
		if err := checkTable(r.dir, id, true); err != nil {
			return err
		}
	}
	if len(tables) > 0 {
		close(r.read)
	}
	return nil
}

// readManifest also tells whether the manifest was read to its end. A power cut
// may have left half of its last entry, which is no damage.
func readManifest(dir string, opts badger.Options) (m badger.Manifest, whole bool, err error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, true, nil // a fresh store: home has looked
	}
	if err != nil {
		return m, false, err
	}
	defer f.Close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	m, end, err := badger.ReplayManifestFile(f, opts.ExternalMagicVersion, opts)
	if err != nil {
		return m, false, err
	}
	info, err := f.Stat()
	return m, err == nil && info.Size() == end, err
}

// checkClosed looks at a store that was closed, which leaves no memory table's
// log: its manifest is whole and lists every table.
func checkClosed(dir string, tables map[uint64]bool, whole bool) (closed bool, err error) {
	logs, _ := filepath.Glob(filepath.Join(dir, "*"+memSuffix))
	if len(logs) > 0 {
		return false, nil
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	for _, f := range files {
		if id, ok := table.ParseFileID(filepath.Base(f)); ok && !tables[id] {
			return true, fmt.Errorf("it does not list %s", filepath.Base(f))
		}
	}
	if !whole {
		return true, errors.New("its end cannot be read")
	}
	return true, nil
}

// missing is an error if Badger has left out any of tables. What compaction has
// taken away meanwhile, which begins while the store opens, is gone from the
// manifest before it is gone from the open tables.
func missing(dir string, tables map[uint64]bool, opts badger.Options) error {
	if len(tables) == 0 {
		return nil
	}
	manifest, _, err := readManifest(dir, opts)
	if err != nil {
		return damaged(dir, manifestName, err)
	}
	for id := range tables {
		if _, listed := manifest.Tables[id]; listed {
			return damaged(dir, table.IDToFilename(id), errors.New("it was left out"))
		}
	}
	return nil
}
