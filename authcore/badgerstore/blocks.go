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
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// readAtOpening is how many bytes of tables are read through before the store
// opens, a few milliseconds' work. The others are read right after: until they
// are, a second or two at most, what stood in a damaged block of theirs reads as
// absent.
var readAtOpening int64 = 8 << 20

// checkAfter leaves the machine to those who start.
const checkAfter = 500 * time.Millisecond

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

// checkLater reads the tables that opening had no time for, and shuts the store
// if one is damaged. Then it gives back the memory that opening took.
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
		return
	}
	s.letGo()
}

// readRest reads the tables that opening had no time for. Until it is through
// without an error no new table comes to be (allocateWatched): compaction would
// leave out what is damaged, and remove the damaged table.
func (r *room) readRest(tables []uint64) error {
	if len(tables) == 0 {
		return nil
	}
	for _, id := range tables {
		// One that compaction had replaced before we held it is gone.
		if err := checkTable(r.dir, id, true); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	close(r.read)
	return nil
}

// checkTable verifies a table: its index, which ends it, and with blocks all of
// these too. Index and blocks are each followed by a checksum and its length.
func checkTable(dir string, id uint64, blocks bool) error {
	r := tableReaders.Get().(*tableReader)
	defer tableReaders.Put(r)
	if err := r.read(table.NewFilename(id, dir), blocks); err != nil {
		return damaged(dir, table.IDToFilename(id), err)
	}
	return nil
}

// tableReader reads one table after the other.
type tableReader struct {
	file         *bufio.Reader
	index, block []byte
}

var tableReaders = sync.Pool{New: func() any { return &tableReader{file: bufio.NewReaderSize(nil, 256<<10)} }}

func (r *tableReader) read(path string, blocks bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	sum, end, err := readBefore(f, info.Size(), nil)
	if err != nil {
		return err
	}
	index, _, err := readBefore(f, end, r.index)
	if err != nil {
		return err
	}
	r.index = index
	if len(sum) == 0 || len(index) == 0 { // zeros, which match each other
		return errors.New("it is overwritten")
	}
	if err := verify(index, sum); err != nil {
		return err
	}
	if !blocks {
		return nil
	}
	r.file.Reset(f)
	defer r.file.Reset(nil)
	return r.checkBlocks(fb.GetRootAsTableIndex(index, 0))
}

// checkBlocks reads the blocks, which follow each other from the beginning.
func (r *tableReader) checkBlocks(index *fb.TableIndex) error {
	var at fb.BlockOffset
	for i, offset := 0, uint32(0); i < index.OffsetsLength(); i++ {
		if !index.Offsets(&at, i) || at.Offset() != offset {
			return errors.New("its index is damaged")
		}
		offset += at.Len()
		r.block = slices.Grow(r.block[:0], int(at.Len()))[:at.Len()]
		b := r.block
		if _, err := io.ReadFull(r.file, b); err != nil {
			return err
		}
		sum, end, err := readBefore(bytes.NewReader(b), int64(len(b)), nil)
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
// returns where it begins. It uses buf if that is large enough.
func readBefore(r io.ReaderAt, end int64, buf []byte) ([]byte, int64, error) {
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
	b := slices.Grow(buf[:0], int(end-4-start))[:end-4-start]
	_, err := r.ReadAt(b, start)
	return b, start, err
}
