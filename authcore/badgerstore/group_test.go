package badgerstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// TestGroupIsOneCommit: updates that wait while another runs are committed
// with it, and see what it wrote.
func TestGroupIsOneCommit(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	put(t, s, "count", `0`)
	const n = 50
	before := s.db.MaxVersion()
	var all sync.WaitGroup
	started := make(chan struct{}, n)
	hold := make(chan struct{})
	all.Go(func() {
		_ = s.Update(context.Background(), func(store.Tx) error {
			<-hold
			return nil
		})
	})
	for range n {
		all.Go(func() {
			started <- struct{}{}
			if err := s.Update(context.Background(), count); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		<-started
	}
	close(hold)
	all.Wait()
	if got := get(t, s, "count"); got != fmt.Sprint(n) {
		t.Errorf("counted %s, want %d", got, n)
	}
	if commits := s.db.MaxVersion() - before; commits > n/2 {
		t.Errorf("%d commits for %d updates that waited together", commits, n)
	}
}

func count(tx store.Tx) error {
	values, err := tx.Get("count")
	if err != nil {
		return err
	}
	var n int
	fmt.Sscan(string(values[0]), &n)
	tx.Put("count", fmt.Append(nil, n+1), time.Time{})
	return nil
}

// TestGroupLargerThanTransaction: what does not fit into one of Badger's
// transactions goes into the next, and what fits into none is refused.
func TestGroupLargerThanTransaction(t *testing.T) {
	t.Parallel()
	s := openTest(t, t.TempDir(), Options{})
	large := fmt.Appendf(nil, `"%060000d"`, 1)
	write := func(i, n int) error {
		return s.Update(context.Background(), func(tx store.Tx) error {
			for j := range n {
				tx.Put(fmt.Sprintf("k%d/%d", i, j), large, time.Time{})
			}
			return nil
		})
	}
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if err := write(i, 4); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 60 {
		for j := range 4 {
			if get(t, s, fmt.Sprintf("k%d/%d", i, j)) == "" {
				t.Fatalf("record %d/%d is gone", i, j)
			}
		}
	}
	if err := write(99, 20); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("an update of 1.2 MB says %v", err)
	}
	if get(t, s, "k99/0") != "" {
		t.Error("half of a refused update is there")
	}
	small := func(tx store.Tx) error {
		for i := range 20_000 {
			tx.Put(fmt.Sprint("small", i), []byte(`1`), time.Time{})
		}
		return nil
	}
	if err := s.Update(context.Background(), small); err == nil || get(t, s, "small1") != "" {
		t.Errorf("an update of 20000 records says %v", err)
	}
	put(t, s, "k", `1`)
}

// TestFailedCommitEndsWriting closes Badger under the store: after a commit
// whose outcome nobody knows, no update may be acknowledged.
func TestFailedCommitEndsWriting(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	put(t, s, "k", `1`)
	g := <-s.turns
	g.fail(errors.New("input/output error"))
	g.back <- struct{}{}
	<-g.done
	for range 2 {
		err := s.Update(context.Background(), func(store.Tx) error {
			t.Error("fn ran")
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), "input/output error: see to the disk, then restart") {
			t.Errorf("Update says %v", err)
		}
	}
	if s.Health().Err == nil {
		t.Error("Health does not tell")
	}
	if get(t, s, "k") != `1` {
		t.Error("reading has ended too")
	}
}

// TestWaitingEndsWithContext: an update that is not its turn yet gives up.
func TestWaitingEndsWithContext(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	err := s.Update(context.Background(), func(store.Tx) error {
		ctx, cancel := context.WithCancel(context.Background())
		waiting := make(chan error)
		go func() {
			waiting <- s.Update(ctx, func(store.Tx) error {
				t.Error("fn ran")
				return nil
			})
		}()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("Update says %v, want context.Canceled", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestKill ends a process in the middle of its updates. The next one starts by
// itself and finds all that was acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("GATEHOUSE_KILL"); dir != "" {
		updateForEver(dir)
	}
	dir := t.TempDir()
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "GATEHOUSE_KILL="+dir, fmt.Sprint("GATEHOUSE_ROUND=", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked []string
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if acked = append(acked, lines.Text()); len(acked) == 2000 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		s := openTest(t, dir, Options{})
		for _, key := range acked {
			if get(t, s, key) == "" {
				t.Fatalf("round %d: acknowledged %q is gone", round, key)
			}
		}
		if len(acked) < 2000 {
			t.Fatalf("round %d: only %d updates: %q", round, len(acked), acked)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func updateForEver(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for worker := range 16 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%s/%d/%d", os.Getenv("GATEHOUSE_ROUND"), worker, i)
				err := s.Update(context.Background(), func(tx store.Tx) error {
					tx.Put(key, fmt.Appendf(nil, `"%05000d"`, i), time.Time{})
					return nil
				})
				if err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				fmt.Println(key)
			}
		}()
	}
	select {}
}
