//go:build unix

package badgerstore

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestModes runs with umask 0 in a process of its own: the umask is the whole
// process's.
func TestModes(t *testing.T) {
	if os.Getenv("GATEHOUSE_UMASK") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestModes$")
		cmd.Env = append(os.Environ(), "GATEHOUSE_UMASK=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	syscall.Umask(0)
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := openTest(t, dir, Options{})
	for i := range 1500 { // flushes a table
		put(t, s, fmt.Sprint("k", i), fmt.Sprintf(`"%05000d"`, i))
	}
	if err := s.Collect(context.Background()); err != nil {
		t.Error(err)
	}
	wantClosedToOthers(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosedToOthers(t, dir)
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error { return os.Chmod(path, 0o777) })
	openTest(t, dir, Options{})
	wantClosedToOthers(t, dir)
}

func wantClosedToOthers(t *testing.T, dir string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info, err := d.Info(); err == nil && info.Mode() != want {
			t.Errorf("%s is %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if info, err := os.Stat(filepath.Dir(dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory above is %v, want 0700", info.Mode())
	}
}
