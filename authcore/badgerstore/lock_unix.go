//go:build unix

package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// homeLocks says that home locks the directory, not Badger.
const homeLocks = true

// lockDir takes the lock that Badger and its tools use. It ends with the
// process, so a crash leaves none behind.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the store's directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("the store %s is in use by another process: stop that one, or give this one a directory of its own", dir)
	}
	return nil, fmt.Errorf("locking the store's directory %s: %w", dir, err)
}

// release unlocks before it closes: a process that is being started has a copy
// of the open file for a moment, and with it the lock.
func (h *home) release() {
	_ = syscall.Flock(int(h.lock.Fd()), syscall.LOCK_UN)
	h.lock.Close()
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// namesTell is how coarse a file system's times may be: a change of the
// directory that is younger may hide another one.
const namesTell = 2 * time.Second

// syncNames puts the directory's list of files on disk if it has changed. Badger
// begins a new log in the middle of a commit and does not sync the directory: of
// a log without a name a power cut leaves nothing.
func (h *home) syncNames() error {
	info, err := h.lock.Stat()
	if err != nil {
		return err
	}
	changed := info.ModTime()
	if changed.Equal(h.synced) {
		return nil
	}
	if err := h.lock.Sync(); err != nil {
		return err
	}
	if time.Since(changed) > namesTell {
		h.synced = changed
	}
	return nil
}
