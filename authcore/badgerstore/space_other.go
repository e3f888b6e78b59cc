//go:build !linux

package badgerstore

import (
	"io/fs"
	"math"
	"os"
)

// Elsewhere than on Linux the disk is not watched: only Options.MaxBytes
// bounds the store.

func diskSpace(string) (free, total int64, err error) { return math.MaxInt64, math.MaxInt64, nil }

func allocated(info fs.FileInfo) int64 { return info.Size() }

func reserve(*os.File, int64, int64) error { return nil }

// holdsTables: without watching, new tables wait for nothing.
const holdsTables = false

func watchMappings(*room) {}

func unwatchMappings(*room) {}

func (*Store) letGo() {}
