package badgerstore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// TestPowerCut shows that what Update has acknowledged is on the disk. Killing
// the process cannot show that: its writes stay in the kernel's page cache. So
// a disk is kept here that has only what was synced: the test traces a process
// that works on a store, and copies what a sync covers when that sync has
// succeeded. After the cut a store is opened on that disk.
func TestPowerCut(t *testing.T) {
	if dir := os.Getenv("GATEHOUSE_POWER_DIR"); dir != "" {
		workUntilCut(dir, os.Getenv("GATEHOUSE_POWER_WORK"))
	}
	for _, c := range []struct {
		work string
		acks int
	}{
		{"updating", 700}, // about 5.6 MB: one memory table is left behind
		{"collecting", 250},
	} {
		t.Run(c.work, func(t *testing.T) {
			d := newDisk(t.TempDir())
			acked := cutPower(t, d, c.work, c.acks)
			if len(acked) < c.acks {
				t.Fatalf("only %d of %d updates were acknowledged", len(acked), c.acks)
			}
			for _, lost := range d.lost(t, acked) {
				if lost > 0 {
					t.Errorf("%d of %d acknowledged updates were not on disk", lost, len(acked))
				}
			}
		})
	}
	// The same with Badger's default must lose, or this test sees nothing.
	t.Run("unsynced", func(t *testing.T) {
		d := newDisk(t.TempDir())
		acked := cutPower(t, d, "unsynced", 300)
		for _, lost := range d.lost(t, acked) {
			if lost == 0 {
				t.Error("nothing was lost although nothing was synced")
			}
		}
	})
}

// TestPowerCutWhileStarting cuts a store that is opened and closed again and
// again, after each of its first syncs in turn.
func TestPowerCutWhileStarting(t *testing.T) {
	for syncs := 1; syncs < 60; syncs += 7 {
		d := newDisk(t.TempDir())
		d.cutAfter = syncs
		acked := cutPower(t, d, "restarting", math.MaxInt)
		for _, lost := range d.lost(t, acked) {
			if lost != 0 {
				t.Errorf("after %d syncs %d of %d acknowledged updates were not on disk", syncs, lost, len(acked))
			}
		}
	}
}

// cutPower runs a store until it has acknowledged n updates, or d has had
// enough, then takes its process and its page cache away.
func cutPower(t *testing.T, d *disk, work string, n int) (acked []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPowerCut$")
	cmd.Env = append(os.Environ(), "GATEHOUSE_POWER_DIR="+d.dir, "GATEHOUSE_POWER_WORK="+work)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var enough atomic.Bool
	var reading sync.WaitGroup
	err = trace(cmd, d, &enough, func() {
		reading.Go(func() { acked = readAcks(out, n, &enough) })
	})
	if err != nil {
		t.Fatalf("tracing: %v", err)
	}
	reading.Wait()
	return acked
}

func readAcks(out io.Reader, n int, enough *atomic.Bool) (acked []string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acked = append(acked, lines.Text()); len(acked) == n {
			enough.Store(true)
		}
	}
	return acked
}

// lost opens a store on what the disk has, in each of the ways that it may
// have kept names, and counts what is missing. A store that does not open has lost everything.
func (d *disk) lost(t *testing.T, acked []string) (lost [2]int) {
	t.Helper()
	for i, names := range []map[string]fileID{d.names, d.namesEarly()} {
		dir := t.TempDir()
		for name, id := range names {
			if err := os.WriteFile(filepath.Join(dir, name), d.content[id], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Open(dir, Options{})
		if err != nil {
			t.Logf("after the cut: %v", err)
			lost[i] = max(1, len(acked))
			continue
		}
		for _, key := range acked {
			if get(t, s, key) == "" {
				lost[i]++
			}
		}
		s.Close()
	}
	return lost
}

// workUntilCut is the process that is traced.
func workUntilCut(dir, work string) {
	s := must(Open(dir, Options{}))
	switch work {
	case "restarting":
		for i := 0; ; i++ {
			must(0, acknowledge(s, fmt.Sprint(i)))
			must(0, s.Close())
			s = must(Open(dir, Options{}))
		}
	case "unsynced":
		must(0, s.db.Close())
		s.db = must(openBadger(dbOptions(s.dir, s.log, s.room).WithSyncWrites(false)))
	}
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				must(0, acknowledge(s, fmt.Sprintf("%d/%d", worker, i)))
			}
		}()
	}
	for work == "collecting" {
		must(0, s.Collect(context.Background()))
	}
	select {}
}

func acknowledge(s *Store, key string) error {
	err := s.Update(context.Background(), func(tx store.Tx) error {
		tx.Put(key, fmt.Appendf(nil, `"%08000d"`, 1), time.Time{})
		return nil
	})
	if err == nil {
		fmt.Println(key)
	}
	return err
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return v
}

// disk is what a power cut leaves of one directory.
type disk struct {
	dir      string
	names    map[string]fileID // as if each removal was written with a sync of the directory
	content  map[fileID][]byte
	cutAfter int // syncs; 0: do not count
}

// fileID tells files apart whatever they are called: by inode, which is used
// again after a file is gone, and time of birth.
type fileID struct {
	inode uint64
	birth unix.StatxTimestamp
}

func newDisk(dir string) *disk {
	return &disk{dir: dir, names: map[string]fileID{}, content: map[fileID][]byte{}}
}

// namesEarly are the names as if each removal was written at once.
func (d *disk) namesEarly() map[string]fileID {
	now, early := namesIn(d.dir), map[string]fileID{}
	for name, id := range d.names {
		if now[name] == id {
			early[name] = id
		}
	}
	return early
}

func namesIn(dir string) map[string]fileID {
	names := map[string]fileID{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		var st unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, filepath.Join(dir, e.Name()), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
		if err == nil {
			names[e.Name()] = fileID{st.Ino, st.Btime}
		}
	}
	return names
}

// synced returns what to do once a sync of path has succeeded: everything that
// was written before it began is on disk then. The name of a synced file is on
// disk with it, as ext4, XFS and btrfs have it.
func (d *disk) synced(path string, from, to int64) func() {
	if path == d.dir {
		names := namesIn(d.dir)
		return func() { d.names = names }
	}
	if !strings.HasPrefix(path, d.dir+"/") {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	name := filepath.Base(path)
	id := namesIn(d.dir)[name]
	return func() {
		d.names[name] = id
		d.content[id] = merge(d.content[id], b, from, to)
	}
}

// merge puts what is between from and to in b over what the disk had.
func merge(old, b []byte, from, to int64) []byte {
	merged := make([]byte, len(b))
	copy(merged, old)
	from, to = min(from, int64(len(b))), min(to, int64(len(b)))
	copy(merged[from:to], b[from:to])
	return merged
}
