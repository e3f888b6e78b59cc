//go:build !linux

package badgerstore

import (
	"errors"
	"io/fs"
	"math"
	"os"
)

// Elsewhere than on Linux the disk is not watched: only Options.MaxBytes
// bounds the store.

func diskSpace(string) (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }

func allocated(info fs.FileInfo) int64 { return info.Size() }

func reserve(*os.File, int64, int64) error { return nil }

// guarded says why files do not get their blocks before they are mapped.
func guarded() error { return errors.New("that is done on Linux only") }

func watchMappings(*room) {}

func unwatchMappings(*room) {}
