package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

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

// checkTables reads all tables that Badger is about to map: a tenth of a second
// for a million records in memory (docs/decisions/0025).
func checkTables(dir string, opts badger.Options) error {
	manifest, whole, err := readManifest(dir, opts)
	if err == nil {
		err = checkClosed(dir, manifest, whole)
	}
	if err != nil {
		return damaged(dir, manifestName, err)
	}
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for id := range manifest.Tables {
		all.Go(func() error { return checkTable(dir, id) })
	}
	return all.Wait()
}

func damaged(dir, name string, err error) error {
	return fmt.Errorf("%s in %s is damaged: %w: restore the directory from a backup", name, dir, err)
}

// checkTable verifies a table's index and blocks.
func checkTable(dir string, id uint64) (err error) {
	defer func() {
		if p := recover(); p != nil { // Badger's answer to an index that is none
			err = damaged(dir, table.IDToFilename(id), errors.New("it is cut short or overwritten"))
		}
	}()
	file, err := z.OpenMmapFile(table.NewFilename(id, dir), os.O_RDONLY, 0)
	if err != nil {
		return damaged(dir, table.IDToFilename(id), cause(err))
	}
	t, err := table.OpenTable(file, table.Options{ChkMode: options.OnTableRead})
	if err != nil {
		return damaged(dir, table.IDToFilename(id), cause(err))
	}
	return t.Close(-1)
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
func checkClosed(dir string, manifest badger.Manifest, whole bool) error {
	logs, _ := filepath.Glob(filepath.Join(dir, "*"+memSuffix))
	if len(logs) > 0 {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	for _, f := range files {
		id, ok := table.ParseFileID(filepath.Base(f))
		if _, listed := manifest.Tables[id]; ok && !listed {
			return fmt.Errorf("it does not list %s", filepath.Base(f))
		}
	}
	if !whole {
		return errors.New("its end cannot be read")
	}
	return nil
}
