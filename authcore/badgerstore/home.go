package badgerstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	markerName   = "gatehouse-store.json"
	manifestName = "MANIFEST" // Badger's list of its tables
	format       = 1          // another one is refused

	stateNew   = "new" // nothing has been stored: what is there may be removed
	stateReady = "ready"
)

// marker is the file that makes a directory ours.
type marker struct {
	Store  string `json:"store"`  // always "gatehouse"
	Engine string `json:"engine"` // always "badger"
	Format int    `json:"format"`
	State  string `json:"state"` // "new" until Open succeeds for the first time
}

// home is the store's directory, locked.
type home struct {
	dir   string   // canonical
	lock  *os.File // the directory itself
	fresh bool

	synced time.Time // when its list of files last changed that is on disk
}

// openHome locks dir for this process and makes sure that it is ours, or
// empty. It changes nothing in a directory that is not.
func openHome(dir string) (*home, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store's directory: %w", err)
	}
	dir, err := canonical(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	h := &home{dir: dir, lock: lock}
	if h.fresh, err = inspect(dir); err == nil {
		err = h.settle()
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

func canonical(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("finding the store's directory: %w", err)
	}
	return dir, nil
}

// inspect tells whether dir is empty; a directory that is neither empty nor a
// store of ours that is whole is an error.
func inspect(dir string) (fresh bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return true, wantEmpty(dir)
	}
	if err != nil {
		return false, fmt.Errorf("reading the store's marker: %w", err)
	}
	var m marker
	if json.Unmarshal(b, &m) != nil || m.Store != "gatehouse" || m.Engine != "badger" || m.Format < 1 ||
		m.State != stateNew && m.State != stateReady {
		return false, fmt.Errorf("%s in %s is damaged: restore the directory from a backup", markerName, dir)
	}
	if m.Format != format {
		return false, fmt.Errorf("the store %s has format %d, this Gatehouse reads format %d: run the Gatehouse that wrote it and \"gatehouse export\", then \"gatehouse import\" into an empty directory with this one", dir, m.Format, format)
	}
	if _, err := os.Stat(filepath.Join(dir, manifestName)); m.State == stateReady && err != nil {
		return false, fmt.Errorf("%s is missing in %s: restore the directory from a backup; an empty store would forget what was used, ended and refused", manifestName, dir)
	}
	return m.State == stateNew, nil
}

func wantEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the store's directory: %w", err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "lost+found", markerName + ".new":
		default:
			return fmt.Errorf("%s holds %q but no %s: it is no Gatehouse store; use an empty directory, or restore the whole store from a backup", dir, e.Name(), markerName)
		}
	}
	return nil
}

// settle closes the directory to others and, when it is fresh, marks it as
// ours before Badger puts its files there.
func (h *home) settle() error {
	if err := os.Chmod(h.dir, 0o700); err != nil {
		return fmt.Errorf("closing the store's directory to others: %w", err)
	}
	if !h.fresh {
		return nil
	}
	if err := h.mark(stateNew); err != nil {
		return err
	}
	return h.eachFile(os.Remove) // left by an Open that never returned
}

// finish marks a fresh store as ready: from now on a missing file is a loss.
// Badger does not sync all that it makes at first.
func (h *home) finish() error {
	if !h.fresh {
		return nil
	}
	if err := h.eachFile(syncFile); err != nil {
		return err
	}
	h.fresh = false
	return h.mark(stateReady)
}

// eachFile does something with the path of each of Badger's files.
func (h *home) eachFile(do func(path string) error) error {
	for _, pattern := range []string{manifestName, "MANIFEST-REWRITE", "KEYREGISTRY", "REWRITE-KEYREGISTRY", "DISCARD", "*.sst", "*.vlog", "*.mem"} {
		names, err := fs.Glob(os.DirFS(h.dir), pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := do(filepath.Join(h.dir, name)); err != nil {
				return fmt.Errorf("making the store's files: %w", err)
			}
		}
	}
	return nil
}

func (h *home) mark(state string) error {
	b, err := json.Marshal(marker{Store: "gatehouse", Engine: "badger", Format: format, State: state})
	if err != nil {
		return err
	}
	path := filepath.Join(h.dir, markerName)
	if err = os.WriteFile(path+".new", append(b, '\n'), 0o600); err == nil {
		err = syncFile(path + ".new")
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFile(h.dir)
	}
	if err != nil {
		return fmt.Errorf("marking the store's directory: %w", err)
	}
	return nil
}
