package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const (
	// lookEvery bounds how often the disk is asked for its free space.
	lookEvery = time.Second

	// ballastSize is held by a file that is given up when Badger has to write
	// although the disk is full: to close the store, to open it, and to begin a
	// new log in the middle of a commit. It is enough for each.
	ballastSize = 20 << 20
	ballastStep = 4 << 20
	ballastName = "ballast"

	// manifestSpare is kept allocated behind the end of Badger's MANIFEST: a
	// change of it that is cut short by a full disk would spoil it.
	manifestSpare = 256 << 10
)

// room watches the space that a store has.
type room struct {
	dir     string
	reserve int64
	max     int64
	log     *slog.Logger

	waiting atomic.Int32 // mappings that wait for the disk, see guard_linux.go
	spent   atomic.Bool  // the ballast was given up for a log
	opening atomic.Bool  // then they fail instead

	unwritten atomic.Bool // Badger could not write a table, which it tries again for ever

	every   time.Duration // lookEvery, but in tests
	checked time.Time     // used by turns only
	verdict error         // used by turns only

	mu     sync.Mutex // looks one at a time
	health Health
	bulky  chan struct{} // told when the store is above its limit
}

func newRoom(dir string, opts Options) *room {
	return &room{
		dir: dir, reserve: opts.ReserveBytes, max: opts.MaxBytes, log: opts.Logger,
		every: lookEvery, bulky: make(chan struct{}, 1),
	}
}

// prepare makes room for Badger to open: it gives up the ballast and asks for
// what opening takes.
func (r *room) prepare() error {
	r.dropBallast()
	const need = memFileSize + 2*valueLogSize + discardFileSize + memTableSize
	free, total, err := diskSpace(r.dir)
	if err != nil {
		return fmt.Errorf("asking for the free space at %s: %w", r.dir, err)
	}
	if r.reserve == 0 {
		r.reserve = min(DefaultReserve, total/10)
	}
	if free < need {
		return fmt.Errorf("%w: %s has %d MB free, opening it takes %d MB: free some", store.ErrFull, r.dir, free>>20, need>>20)
	}
	if err := reserveFile(filepath.Join(r.dir, "DISCARD"), 0, discardFileSize); err != nil {
		return fmt.Errorf("reserving space: %w", err)
	}
	r.opening.Store(true)
	watchMappings(r)
	return r.removeEmpty() // last: that a log is there tells of a crash
}

// opened is called when Badger is open.
func (r *room) opened() {
	r.opening.Store(false)
	r.look()
}

func (r *room) close() {
	unwatchMappings(r)
	_ = r.keepBallast()
}

// stuck tells whether Badger waits for space now.
func (r *room) stuck() bool { return r.waiting.Load() > 0 }

// ready is nil if an update may write. It is called for each group.
func (r *room) ready() error {
	if r.stuck() {
		return r.full("the disk is full")
	}
	if r.spent.Swap(false) || time.Since(r.checked) >= r.every {
		r.verdict = r.look().Err
		r.checked = time.Now()
	}
	if r.verdict != nil {
		return r.verdict
	}
	// Badger opens a file in the middle of a commit, and ends the process at the
	// next one if it could not.
	f, err := os.Open(r.dir)
	if err != nil {
		return r.full(err.Error())
	}
	return f.Close()
}

func (r *room) full(why string) error {
	return fmt.Errorf("badgerstore: %w: %s (%s)", store.ErrFull, why, r.dir)
}

// look asks the disk. It also keeps MANIFEST's spare and the ballast allocated
// and the files closed to others.
func (r *room) look() Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.health.Err
	r.health = r.measure()
	if err := r.health.Err; err != nil && before == nil {
		r.log.Warn("store refuses updates", "error", err)
	} else if err == nil && before != nil {
		r.log.Info("store takes updates again", "free_bytes", r.health.FreeBytes, "size_bytes", r.health.SizeBytes)
	}
	return r.health
}

func (r *room) measure() Health {
	var h Health
	ballast := r.keepBallast()
	var err error
	if h.SizeBytes, err = tidy(r.dir); err != nil {
		h.Err = fmt.Errorf("badgerstore: reading %s: %w", r.dir, err)
		return h
	}
	if h.FreeBytes, _, err = diskSpace(r.dir); err != nil {
		h.Err = fmt.Errorf("badgerstore: asking for the free space at %s: %w", r.dir, err)
		return h
	}
	switch {
	case r.stuck() || h.FreeBytes < r.reserve:
		h.Err = r.full(fmt.Sprintf("%d MB are free, %d MB are kept free", h.FreeBytes>>20, r.reserve>>20))
	case h.SizeBytes > r.max:
		h.Err = r.full(fmt.Sprintf("it takes %d MB, it may take %d MB", h.SizeBytes>>20, r.max>>20))
		select {
		case r.bulky <- struct{}{}:
		default:
		}
	case ballast != nil:
		h.Err = r.full(ballast.Error())
	default:
		h.Err = r.restock()
	}
	return h
}

// restock renews what was used of MANIFEST's spare.
func (r *room) restock() error {
	manifest := filepath.Join(r.dir, manifestName)
	info, err := os.Stat(manifest)
	if err == nil {
		err = reserveFile(manifest, info.Size(), manifestSpare)
	}
	if err != nil {
		return r.full(err.Error())
	}
	return nil
}

// keepBallast makes the ballast, or as much of it as there is room for: then it
// is an error.
func (r *room) keepBallast() error {
	path := filepath.Join(r.dir, ballastName)
	if info, err := os.Stat(path); err == nil && allocated(info) >= ballastSize {
		return nil
	}
	err := reserveFile(path, 0, ballastSize)
	for size := int64(ballastSize - ballastStep); err != nil && size > 0; size -= ballastStep {
		if reserveFile(path, 0, size) == nil {
			break
		}
	}
	return err
}

func (r *room) dropBallast() { _ = os.Remove(filepath.Join(r.dir, ballastName)) }

// spendBallast gives up the ballast while the store runs. No further update is
// taken before there is a new one.
func (r *room) spendBallast() {
	r.dropBallast()
	r.spent.Store(true)
}

// removeEmpty removes logs that a power cut left empty: Badger would not open.
func (r *room) removeEmpty() error {
	for _, pattern := range []string{"*" + memSuffix, "*.vlog"} {
		names, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err == nil && info.Size() == 0 {
				err = os.Remove(name)
			}
			if err != nil {
				return fmt.Errorf("removing an empty file: %w", err)
			}
		}
	}
	return nil
}

// tidy returns what the files in dir take on disk, and makes each 0600: Badger
// leaves that to the umask.
func tidy(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // compacted away
		}
		if err != nil {
			return 0, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		size += allocated(info)
		if info.Mode().Perm() != 0o600 {
			if err := os.Chmod(filepath.Join(dir, e.Name()), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
		}
	}
	return size, nil
}

// reserveFile makes path if it is absent and allocates length bytes from
// offset without changing its size.
func reserveFile(path string, offset, length int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(reserve(f, offset, length), f.Close())
	if err != nil && offset == 0 {
		_ = os.Remove(path)
	}
	return err
}
