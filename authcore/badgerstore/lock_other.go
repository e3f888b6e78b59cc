//go:build !unix

package badgerstore

import "os"

// homeLocks says that home locks the directory, not Badger.
const homeLocks = false

func lockDir(string) (*os.File, error) { return nil, nil }

func (h *home) release() {}

// syncFile does nothing: there, directories cannot be synced, nor files that
// are open for reading.
func syncFile(string) error { return nil }

func (h *home) syncNames() error { return nil }
