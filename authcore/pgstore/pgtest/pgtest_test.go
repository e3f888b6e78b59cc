package pgtest_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
)

// Whoever ends the tests, with a signal to all their processes, leaves no server and
// no directory behind, also while the cluster is made.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv("GATEHOUSE_PGTEST") != "" {
		pgtest.Pooled(t, pgtest.Database(t))
		fmt.Println("in use")
		select {}
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for _, inUse := range []bool{false, true} {
			t.Run(fmt.Sprint(signal, inUse), func(t *testing.T) {
				t.Parallel()
				dir, err := os.MkdirTemp("", "pgtest") //nolint:usetesting // the server's user must get at it
				if err == nil {
					err = os.Chmod(dir, 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(dir)
				cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeft$")
				cmd.Env = append(os.Environ(), "GATEHOUSE_PGTEST=1", "TMPDIR="+dir)
				cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = cmd.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				if inUse {
					if line, _ := bufio.NewReader(out).ReadString('\n'); line != "in use\n" {
						t.Errorf("it says %q", line)
					}
				} else {
					until(t, "a cluster", func() bool { return len(in(dir, "*/data")) > 0 })
				}
				if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
					t.Error(err)
				}
				_ = cmd.Wait()
				until(t, "nothing is left", func() bool { return len(in(dir, "*")) == 0 })
			})
		}
	}
}

func in(dir, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	return found
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come about: %s", what)
		}
	}
}
