package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// TestFullDisk fills small disks under load, each in a process of its own,
// because what it guards against is the end of the process.
func TestFullDisk(t *testing.T) {
	if scene := os.Getenv("GATEHOUSE_FULL_DISK"); scene != "" {
		onFullDisk[scene](t, mountDisk(t))
		return
	}
	for scene := range onFullDisk {
		t.Run(scene, func(t *testing.T) {
			t.Parallel()
			out, err := inNamespace(scene).CombinedOutput()
			if scene == "unguarded" {
				if !strings.Contains(string(out), "SIGBUS") && !strings.Contains(string(out), "unexpected fault address") {
					t.Errorf("without its guard the store should have died of the full disk: %v\n%s", err, out)
				}
				return
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// onFullDisk are the scenes. "unguarded" has to crash, which shows that the
// others meet what they are about.
var onFullDisk = map[string]func(*testing.T, string){
	"others fill the disk":    othersFillDisk,
	"the store fills it":      storeFillsDisk,
	"closing and opening":     closeAndOpenFull,
	"nothing free at opening": openWithoutRoom,
	"unguarded":               unguarded,
}

const diskSize = 80 << 20

func inNamespace(scene string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "GATEHOUSE_FULL_DISK="+scene)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd
}

func mountDisk(t *testing.T) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all that is free; the function it returns gives it back.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := 1 << 20; chunk > 0; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 16
		}
	}
	return func() { _ = os.Remove(path) }
}

// load updates a store until it is stopped and remembers what was
// acknowledged.
type load struct {
	t     *testing.T
	store *Store
	acked sync.Map
	next  atomic.Int64
	full  atomic.Int64 // updates refused with ErrFull
	good  atomic.Int64
}

func newLoad(t *testing.T, dir string, reserve int64) *load {
	s := openTest(t, dir, Options{ReserveBytes: reserve})
	s.room.every = 10 * time.Millisecond
	return &load{t: t, store: s}
}

func (l *load) update(size int) {
	key := fmt.Sprintf("%06d", l.next.Add(1))
	err := l.store.Update(context.Background(), func(tx store.Tx) error {
		tx.Put(key, fmt.Appendf(nil, `"%0*d"`, size, 7), time.Time{})
		return nil
	})
	switch {
	case err == nil:
		l.acked.Store(key, true)
		l.good.Add(1)
	case errors.Is(err, store.ErrFull):
		l.full.Add(1)
		time.Sleep(time.Millisecond)
	default:
		l.t.Errorf("Update: %v", err)
	}
}

// run updates from eight goroutines while during runs.
func (l *load) run(size int, during func()) {
	var stop atomic.Bool
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for !stop.Load() {
				l.update(size)
			}
		})
	}
	during()
	stop.Store(true)
	all.Wait()
}

// until waits until counter has grown.
func (l *load) until(counter *atomic.Int64) {
	start := counter.Load()
	for counter.Load() < start+50 {
		time.Sleep(time.Millisecond)
	}
}

// wantUnhealthy looks when updates have just been refused, a few times: Badger
// may have given up a file meanwhile, and with it made room.
func (l *load) wantUnhealthy() {
	l.t.Helper()
	for range 20 {
		l.until(&l.full)
		if l.store.Health().Err != nil {
			return
		}
	}
	l.t.Error("Health does not tell that the disk is full")
}

func (l *load) wantAcked() {
	l.t.Helper()
	l.acked.Range(func(key, _ any) bool {
		err := l.store.View(context.Background(), func(tx store.Tx) error {
			values, err := tx.Get(key.(string))
			if err == nil && values[0] == nil {
				l.t.Errorf("acknowledged %s is gone", key)
			}
			return err
		})
		if err != nil {
			l.t.Errorf("View: %v", err)
		}
		return !l.t.Failed()
	})
}

// othersFillDisk: the reserve is gone at once, in the middle of the load.
func othersFillDisk(t *testing.T, disk string) {
	dir := filepath.Join(disk, "store")
	l := newLoad(t, dir, 8<<20)
	for range 3 {
		l.run(2000, func() {
			l.until(&l.good)
			free := fill(t, disk)
			l.until(&l.full)
			l.wantAcked()
			l.wantUnhealthy()
			free()
			l.until(&l.good)
		})
	}
	l.wantAcked()
	if err := l.store.Close(); err != nil {
		t.Error(err)
	}
	l.store = openTest(t, dir, Options{})
	l.wantAcked()
}

// storeFillsDisk has no reserve: only what is allocated in time protects it,
// while tables are flushed and compacted.
func storeFillsDisk(t *testing.T, disk string) {
	half := filepath.Join(disk, "half")
	if err := os.WriteFile(half, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(disk, "store")
	l := newLoad(t, dir, 1)
	l.run(20_000, func() {
		l.until(&l.full)
		l.wantAcked()
		if err := os.Remove(half); err != nil {
			t.Error(err)
		}
		l.until(&l.good)
	})
	l.wantAcked()
	if err := syscall.Mount("", disk, "tmpfs", syscall.MS_REMOUNT, "size=400m"); err != nil {
		t.Fatal(err)
	}
	if err := l.store.Close(); err != nil {
		t.Error(err)
	}
	l.store = openTest(t, dir, Options{})
	l.wantAcked()
}

// closeAndOpenFull: restarts while the disk is full.
func closeAndOpenFull(t *testing.T, disk string) {
	dir := filepath.Join(disk, "store")
	const reserve = 40 << 20
	l := newLoad(t, dir, reserve)
	for range 200 {
		l.update(2000)
	}
	free := fill(t, disk)
	for range 3 {
		if err := l.store.Close(); err != nil {
			t.Fatal(err)
		}
		l.store = newLoad(t, dir, reserve).store
		l.wantAcked()
		before := l.full.Load()
		l.update(2000)
		if l.full.Load() == before {
			t.Error("an update passed on a full disk")
		}
		fill(t, disk)
	}
	free()
	l.run(2000, func() { l.until(&l.good) })
	l.wantAcked()
}

// openWithoutRoom: a first start on a full disk is refused, and works later.
func openWithoutRoom(t *testing.T, disk string) {
	dir := filepath.Join(disk, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	free := fill(t, disk)
	if s, err := Open(dir, Options{}); err == nil {
		s.Close()
		t.Error("a new store opened on a full disk")
	}
	free()
	openTest(t, dir, Options{})
}

// unguarded leaves out the allocation of what is mapped.
func unguarded(t *testing.T, disk string) {
	l := newLoad(t, filepath.Join(disk, "store"), 1)
	unwatchMappings(l.store.room)
	l.run(20_000, func() { l.until(&l.full) })
}

func init() {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		mod = nil // the process of a test, which runs elsewhere
	}
	if _, rest, ok := strings.Cut(string(mod), "golang.org/x/sys "); ok {
		version := strings.Fields(rest)[0]
		sysVersion = func() string { return version }
	}
}

// TestGuardKnowsWhatItReplaces: a build with another golang.org/x/sys goes
// without the guard, and says so.
func TestGuardKnowsWhatItReplaces(t *testing.T) {
	if err := guarded(); err != nil {
		t.Fatalf("this build is not guarded: %v", err)
	}
	for _, version := range []string{"v0.47.0", "v0.49.0", "", "replaced by ../sys", "of no known version"} {
		if err := expected(version); err == nil || !strings.Contains(err.Error(), "tested are v0.48.0") {
			t.Errorf("%q: %v", version, err)
		}
	}
	// The guard stands in the place of the function that is expected there.
	if err := expected(sysVersion()); err == nil || !strings.Contains(err.Error(), "instead of golang.org/x/sys/unix.mmap") {
		t.Errorf("a function that is another was not noticed: %v", err)
	}
}
