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

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"golang.org/x/sync/errgroup"
)

// checkTables verifies the tables that Badger is about to map, and returns
// their numbers. Badger would leave out a damaged table, or pass over a damaged
// block in it, or end the process: the records in it, used codes among them,
// would be forgotten. The blocks of the tables in later are not read yet.
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
	if closed && holdsTables {
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
// log, not even the spare one: its manifest is whole and lists every table.
// Badger would remove a table that a cut manifest does not list.
func checkClosed(dir string, tables map[uint64]bool, whole bool) (closed bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	unlisted := ""
	for _, e := range entries {
		if filepath.Ext(e.Name()) == memSuffix {
			return false, nil
		}
		if id, ok := table.ParseFileID(e.Name()); ok && !tables[id] {
			unlisted = e.Name()
		}
	}
	if unlisted != "" {
		return true, fmt.Errorf("it does not list %s", unlisted)
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
