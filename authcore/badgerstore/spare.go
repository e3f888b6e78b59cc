package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const memSuffix = ".mem"

// spare is the file that Badger will use for its next memory table's log, made
// and allocated ahead of time. Badger makes it itself in the middle of a
// commit, and ends the process if it cannot. Nor does it sync the directory
// then: a commit to a file of which a power cut leaves no name is lost.
type spare struct {
	dir  string
	path string // empty until the first ensure
}

// ensure makes the next spare if Badger has taken the last one. It fails while
// there is no space for it, and when no file can be opened.
func (s *spare) ensure() error {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.make()
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil || info.Size() == 0 {
		return err
	}
	return s.make()
}

func (s *spare) make() error {
	last, err := lastMem(s.dir)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, fmt.Sprintf("%05d%s", last+1, memSuffix))
	if err := reserveFile(path, 0, memFileSize); err != nil {
		return err
	}
	if err := syncFile(s.dir); err != nil {
		return err
	}
	s.path = path
	return nil
}

// clear removes spares that Badger has not taken, and value logs that a power
// cut left empty: Badger would not open.
func (s *spare) clear() error {
	s.path = ""
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Size() > 0 || !hasAnySuffix(e.Name(), memSuffix, ".vlog") {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			return fmt.Errorf("removing an empty file: %w", err)
		}
	}
	return nil
}

// lastMem returns the number of the memory table that Badger writes to.
func lastMem(dir string) (last int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), memSuffix)); err == nil && strings.HasSuffix(e.Name(), memSuffix) {
			last = max(last, n)
		}
	}
	if last == 0 {
		return 0, errors.New("badger has no memory table's log")
	}
	return last, nil
}

func hasAnySuffix(s string, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(s, suffix) })
}
