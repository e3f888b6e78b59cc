//go:build !linux

package files

import (
	"io/fs"
	"time"
)

// Changed is when a file was changed last, as far as it says.
func Changed(info fs.FileInfo) time.Time { return info.ModTime() }
