package badgerstore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepSize is FALLOC_FL_KEEP_SIZE: allocate without making the file longer.
const keepSize = 1

// diskSpace is what an ordinary user may still write at dir, and how large the
// disk is, in bytes.
func diskSpace(dir string) (free, total int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	block := uint64(st.Bsize)
	return int64(st.Bavail * block), int64(st.Blocks * block), nil
}

// allocated is what a file takes on disk.
func allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// reserve allocates disk blocks for a part of f, which may lie behind its end.
// A file system that cannot do that is left to room's limits.
func reserve(f *os.File, offset, length int64) error {
	err := allocate(int(f.Fd()), keepSize, offset, length)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

func allocate(fd int, mode uint32, offset, length int64) error {
	for {
		if err := syscall.Fallocate(fd, mode, offset, length); err != syscall.EINTR {
			return err
		}
	}
}
