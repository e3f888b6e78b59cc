package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
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
// the files of open stores: only where the build has a version of that package
// that was tested, and where the function is the one that is expected there.
// Elsewhere the store does without, and says so (docs/decisions/0022).
//
// While there is no room, the mapping of a table waits: if it failed, Badger
// would go on without the table it could not write, and drop its records.

// testedSys are the versions of golang.org/x/sys whose unix package was read
// and tested with this guard. xcaddy picks the version of a build.
var testedSys = []string{"v0.48.0"}

// mapper is nil in a build whose golang.org/x/sys/unix has no such variable.
//
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

// guarded is nil where new files get their blocks before they are mapped, else
// it says why they do not.
var guarded = sync.OnceValue(func() error {
	if err := expected(sysVersion()); err != nil {
		return err
	}
	mapper.Lock()
	defer mapper.Unlock()
	mmap := mapper.mmap
	mapper.mmap = func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
		if prot&syscall.PROT_WRITE != 0 && flags&syscall.MAP_SHARED != 0 && fd >= 0 {
			if err := allocateWatched(fd, offset, int64(length)); err != nil {
				return 0, err
			}
		}
		return mmap(addr, length, prot, flags, fd, offset)
	}
	return nil
})

// expected tells whether mapper is what was tested: the version first, because
// only it says that the memory behind mapper has the layout that is declared
// here.
func expected(version string) error {
	if !slices.Contains(testedSys, version) {
		return fmt.Errorf("this build has golang.org/x/sys %s, tested are %s", version, strings.Join(testedSys, ", "))
	}
	if mapper == nil || mapper.mmap == nil {
		return errors.New("golang.org/x/sys/unix has no mapper")
	}
	const want = "golang.org/x/sys/unix.mmap"
	if name := runtime.FuncForPC(reflect.ValueOf(mapper.mmap).Pointer()).Name(); name != want {
		return fmt.Errorf("golang.org/x/sys/unix maps files by %s instead of %s", name, want)
	}
	return nil
}

// sysVersion tells the version of golang.org/x/sys in this build. The binaries
// of go test do not say it; the tests of this package read it from go.mod.
var sysVersion = func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of no known version"
	}
	for _, m := range info.Deps {
		if m.Path != "golang.org/x/sys" {
			continue
		}
		if m.Replace != nil {
			return "replaced by " + m.Replace.Path
		}
		return m.Version
	}
	return "of no known version"
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
	return r.allocate(fd, offset, length, filepath.Ext(path) == ".sst")
}

// allocate gives a file its blocks. A log that Badger begins in the middle of a
// commit gets those of the ballast, if there are no others: Badger holds back
// every reader meanwhile.
func (r *room) allocate(fd int, offset, length int64, isTable bool) error {
	err := allocateMapped(fd, offset, length)
	if !isFull(err) || r.opening.Load() && !isTable {
		return err
	}
	if !isTable {
		r.spendBallast()
		if err = allocateMapped(fd, offset, length); !isFull(err) {
			return err
		}
	}
	return r.await(func() error { return allocateMapped(fd, offset, length) })
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

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
		if err := try(); !isFull(err) {
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
