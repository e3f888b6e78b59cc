package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTables looks at the tables that Badger is about to map, and returns
// their numbers. Badger would leave out a damaged one, or end the process over
// it; either way the records in it, used codes among them, would be forgotten.
func checkTables(dir string, opts badger.Options) (map[uint64]bool, error) {
	manifest, err := readManifest(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("%s in %s is damaged: %w: restore the directory from a backup", manifestName, dir, err)
	}
	tables := map[uint64]bool{}
	for id := range manifest.Tables {
		if err := checkTable(table.NewFilename(id, dir)); err != nil {
			return nil, fmt.Errorf("%s in %s is damaged: %w: restore the directory from a backup", table.IDToFilename(id), dir, err)
		}
		tables[id] = true
	}
	return tables, nil
}

func readManifest(dir string, opts badger.Options) (m badger.Manifest, err error) {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil // a fresh store: home has looked
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	m, _, err = badger.ReplayManifestFile(f, opts.ExternalMagicVersion, opts)
	return m, err
}

// checkTable verifies a table's end, by which Badger finds everything in it:
// index, its length, checksum, its length. Blocks are verified when read.
func checkTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	sum, end, err := readBefore(f, end)
	if err != nil {
		return err
	}
	index, _, err := readBefore(f, end)
	if err != nil {
		return err
	}
	if len(sum) == 0 || len(index) == 0 { // zeros, which match each other
		return errors.New("it is overwritten")
	}
	var checksum pb.Checksum
	if err := proto.Unmarshal(sum, &checksum); err != nil {
		return errors.New("its checksum is garbage")
	}
	if y.VerifyChecksum(index, &checksum) != nil {
		return errors.New("its index does not match its checksum")
	}
	return nil
}

// readBefore reads what ends at end, followed by its length in four bytes, and
// returns where it begins.
func readBefore(f *os.File, end int64) ([]byte, int64, error) {
	var length [4]byte
	if end < 4 {
		return nil, 0, errors.New("it is cut short")
	}
	if _, err := f.ReadAt(length[:], end-4); err != nil {
		return nil, 0, err
	}
	start := end - 4 - int64(binary.BigEndian.Uint32(length[:]))
	if start < 0 {
		return nil, 0, errors.New("it is cut short or overwritten")
	}
	b := make([]byte, end-4-start)
	_, err := f.ReadAt(b, start)
	return b, start, err
}

// missing is an error if Badger has left out any of tables.
func missing(dir string, tables map[uint64]bool) error {
	for id := range tables {
		return fmt.Errorf("%s in %s was left out as damaged: restore the directory from a backup", table.IDToFilename(id), dir)
	}
	return nil
}
