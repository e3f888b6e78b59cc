package badgerstore

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname

	_ "golang.org/x/sys/unix" // has what is linked to
)

// Badger makes its files as long as they will be, maps them, and writes to the
// map. A disk that is full by then cannot answer such a write with an error:
// the kernel sends SIGBUS, and Go ends the process, which is all of Caddy.
// Looking at the free space beforehand is not enough, because Badger writes
// whenever it flushes and compacts, and others fill the disk meanwhile. What
// is enough is to allocate a file's blocks between making and mapping it.
//
// Badger offers no place to do so. But all its mapping goes through one
// variable of golang.org/x/sys/unix, a function, which is replaced here for
// the files of open stores. A version of that package without the variable
// fails to link, so this cannot be lost unnoticed; a test fills a disk.
//
// While there is no room, the mapping waits: if it failed, Badger would go on
// without the table it could not write, and drop its records.

//go:linkname mapper golang.org/x/sys/unix.mapper
var mapper *struct {
	sync.Mutex
	active map[*byte][]byte
	mmap   func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)
}

const allocateAgain = 100 * time.Millisecond

var watched = struct {
	sync.RWMutex
	rooms map[string]*room // by directory
}{rooms: map[string]*room{}}

func init() {
	mmap := mapper.mmap
	mapper.mmap = func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
		if prot&syscall.PROT_WRITE != 0 && flags&syscall.MAP_SHARED != 0 && fd >= 0 {
			if err := allocateWatched(fd, offset, int64(length)); err != nil {
				return 0, err
			}
		}
		return mmap(addr, length, prot, flags, fd, offset)
	}
}

func watchMappings(r *room) {
	watched.Lock()
	defer watched.Unlock()
	watched.rooms[r.dir] = r
}

func unwatchMappings(r *room) {
	watched.Lock()
	defer watched.Unlock()
	if watched.rooms[r.dir] == r {
		delete(watched.rooms, r.dir)
	}
}

// allocateWatched gives a file of an open store its blocks, and its mode.
func allocateWatched(fd int, offset, length int64) error {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil // no /proc: only the reserve is left
	}
	watched.RLock()
	r := watched.rooms[filepath.Dir(path)]
	watched.RUnlock()
	if r == nil {
		return nil
	}
	if err := syscall.Fchmod(fd, 0o600); err != nil {
		return err
	}
	isTable := strings.HasSuffix(path, ".sst")
	if isTable && isEmpty(fd) {
		<-r.read
	}
	err = allocateMapped(fd, offset, length)
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	if r.opening.Load() && !isTable {
		return err
	}
	return r.await(func() error { return allocateMapped(fd, offset, length) })
}

// holdsTables tells that new tables wait until the old ones have been read.
const holdsTables = true

// isEmpty tells whether nothing was written to the file yet.
func isEmpty(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Blocks == 0
}

// await tries again until there is room.
func (r *room) await(try func() error) error {
	if r.waiting.Add(1) == 1 {
		r.log.Error("store waits for space on its disk", "dir", r.dir)
	}
	defer r.waiting.Add(-1)
	for {
		time.Sleep(allocateAgain)
		if err := try(); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			return err
		}
	}
}

// allocateMapped allocates what will be mapped. A file system without
// fallocate gets zeros instead, if the file is new.
func allocateMapped(fd int, offset, length int64) error {
	err := allocate(fd, 0, offset, length)
	if !errors.Is(err, syscall.EOPNOTSUPP) && !errors.Is(err, syscall.ENOSYS) {
		return err
	}
	if !isEmpty(fd) {
		return nil
	}
	zeros := make([]byte, 64<<10)
	for end := offset + length; offset < end; {
		n, err := syscall.Pwrite(fd, zeros[:min(int64(len(zeros)), end-offset)], offset)
		if err != nil {
			return err
		}
		offset += int64(n)
	}
	return nil
}
