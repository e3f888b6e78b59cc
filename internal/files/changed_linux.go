package files

import (
	"io/fs"
	"syscall"
	"time"
)

// Changed is when a file was changed last, in content, name or rights. Nobody can set
// that back.
func Changed(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return info.ModTime()
}
