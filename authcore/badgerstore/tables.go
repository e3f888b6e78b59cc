package badgerstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

// checkTables verifies the tables that Badger is about to map, and returns
// their numbers. Badger would leave out a damaged table, or pass over a damaged
// block in it, or end the process: the records in it, used codes among them,
// would be forgotten.
func checkTables(dir string, opts badger.Options) (map[uint64]bool, error) {
	manifest, whole, err := readManifest(dir, opts)
	if err != nil {
		return nil, damaged(dir, manifestName, err)
	}
	tables := map[uint64]bool{}
	var all errgroup.Group
	all.SetLimit(runtime.GOMAXPROCS(0))
	for id := range manifest.Tables {
		tables[id] = true
		all.Go(func() error {
			if err := checkTable(table.NewFilename(id, dir)); err != nil {
				return damaged(dir, table.IDToFilename(id), err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	if err := checkClosed(dir, tables, whole); err != nil {
		return nil, damaged(dir, manifestName, err)
	}
	return tables, nil
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
func checkClosed(dir string, tables map[uint64]bool, whole bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	unlisted := ""
	for _, e := range entries {
		if filepath.Ext(e.Name()) == memSuffix {
			return nil
		}
		if id, ok := table.ParseFileID(e.Name()); ok && !tables[id] {
			unlisted = e.Name()
		}
	}
	if unlisted != "" {
		return fmt.Errorf("it does not list %s", unlisted)
	}
	if !whole {
		return errors.New("its end cannot be read")
	}
	return nil
}

// checkTable verifies a table: its index, which ends it, and by that all of
// its blocks. Index and blocks are each followed by a checksum and its length.
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
	sum, end, err := readBefore(f, info.Size())
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
	if err := verify(index, sum); err != nil {
		return err
	}
	return checkBlocks(f, fb.GetRootAsTableIndex(index, 0))
}

// checkBlocks reads the blocks, which follow each other from the beginning.
func checkBlocks(f io.Reader, index *fb.TableIndex) error {
	r := bufio.NewReaderSize(f, 256<<10)
	var at fb.BlockOffset
	var b []byte
	for i, offset := 0, uint32(0); i < index.OffsetsLength(); i++ {
		if !index.Offsets(&at, i) || at.Offset() != offset {
			return errors.New("its index is damaged")
		}
		offset += at.Len()
		b = slices.Grow(b[:0], int(at.Len()))[:at.Len()]
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		sum, end, err := readBefore(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		if err := verify(b[:end], sum); err != nil {
			return err
		}
	}
	return nil
}

func verify(b, sum []byte) error {
	var checksum pb.Checksum
	if err := proto.Unmarshal(sum, &checksum); err != nil {
		return errors.New("a checksum is garbage")
	}
	if y.VerifyChecksum(b, &checksum) != nil {
		return errors.New("a checksum does not match")
	}
	return nil
}

// readBefore reads what ends at end, followed by its length in four bytes, and
// returns where it begins.
func readBefore(r io.ReaderAt, end int64) ([]byte, int64, error) {
	var length [4]byte
	if end < 4 {
		return nil, 0, errors.New("it is cut short")
	}
	if _, err := r.ReadAt(length[:], end-4); err != nil {
		return nil, 0, err
	}
	start := end - 4 - int64(binary.BigEndian.Uint32(length[:]))
	if start < 0 {
		return nil, 0, errors.New("it is cut short or overwritten")
	}
	b := make([]byte, end-4-start)
	_, err := r.ReadAt(b, start)
	return b, start, err
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
