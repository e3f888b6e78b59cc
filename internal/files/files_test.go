package files_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// TestRegular: a pipe, a device and a directory are refused at once, as is more
// than may be read.
func TestRegular(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 1024)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, "/dev/zero", dir} {
		if _, err := files.Read(path, 1024); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := fs.ReadFile(files.Dir(dir, 1024), "pipe"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("in a directory: %v", err)
	}
	if _, err := files.Read(filepath.Join(dir, "none"), 1024); !os.IsNotExist(err) {
		t.Errorf("none: %v", err)
	}
	for most, want := range map[int64]string{1024: "", 1023: "more than 0 KiB"} {
		content, err := files.Read(file, most)
		if want == "" && (err != nil || len(content) != 1024) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("at most %d: %d bytes, %v", most, len(content), err)
		}
	}
	if content, err := fs.ReadFile(files.Dir(dir, 1024), "file"); err != nil || len(content) != 1024 {
		t.Errorf("in a directory: %d bytes, %v", len(content), err)
	}
	if _, err := fs.ReadFile(files.Dir(dir, 1023), "file"); err == nil || err.Error() != "open file: the file has more than 0 KiB" {
		t.Errorf("in a directory: %v", err)
	}
}

// TestDir: a directory is read as os.DirFS reads it.
func TestDir(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a.html": "a", "locales/de.json": "{}", "deep/er/x": "x"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	must(t, fstest.TestFS(files.Dir(dir, 1024), "a.html", "locales/de.json", "deep/er/x"))
	if _, err := fs.ReadFile(files.Dir(dir, 1024), "none"); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), dir) {
		t.Errorf("none: %v", err)
	}
	if _, err := fs.ReadFile(files.Dir(dir, 1024), "locales"); err == nil {
		t.Error("a directory is read as a file")
	}
}

// TestWithin: who asks for a file that does not answer waits for patience or for as
// long as the asking lasts, and however many ask, one call stays behind.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		answer := make(chan struct{})
		silent := func() (int64, error) { n := calls.Add(1); <-answer; return n, nil }
		ask := func() {
			t.Helper()
			began := time.Now()
			if _, err := files.Within(t.Context(), "/silent", silent); !errors.Is(err, files.ErrSilent) || time.Since(began) > 5*time.Second {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		}
		ask()
		ask()
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls stay behind", n)
		}
		if n, err := files.Within(t.Context(), "/other", func() (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("another file: %d, %v", n, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		began := time.Now()
		if _, err := files.Within(ctx, "/silent", silent); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		// What was mounted anew answers to who asks now, and not to who had asked before.
		mounted, began := func() (int64, error) { return 77, nil }, time.Now()
		for {
			n, err := files.Within(t.Context(), "/silent", mounted)
			if err == nil && n == 77 {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("a file that was mounted anew is not read: %d, %v", n, err)
			}
		}
		before := calls.Load()
		for range 1200 { // an hour of looks
			ask()
		}
		if n := calls.Load() - before; n < 10 || n > 30 {
			t.Errorf("in an hour %d calls stay behind", n)
		}
		for range 12000 {
			ask()
		}
		if n := calls.Load(); n > 64 {
			t.Errorf("%d calls stay behind", n)
		}
		close(answer)
		synctest.Wait()
		before = calls.Load()
		if n, err := files.Within(t.Context(), "/silent", silent); n != before+1 || err != nil {
			t.Errorf("once it answers: %d, %v", n, err)
		}
	})
}

// TestSame: a change is seen whatever the file's time of change is set to.
func TestSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	look := func() fs.FileInfo {
		t.Helper()
		info, err := os.Stat(path)
		must(t, err)
		return info
	}
	must(t, os.WriteFile(path, []byte("bob"), 0o600))
	before := look()
	if !files.Same(before, look()) || files.Same(nil, before) {
		t.Error("an unchanged file")
	}
	for name, change := range map[string]func() error{
		"content": func() error { return os.WriteFile(path, []byte("bab"), 0o600) },
		"another file": func() error {
			return errors.Join(os.WriteFile(path+".new", []byte("bub"), 0o600), os.Rename(path+".new", path))
		},
		"size": func() error { return os.WriteFile(path, []byte("bobby"), 0o600) },
	} {
		must(t, change())
		must(t, os.Chtimes(path, before.ModTime(), before.ModTime()))
		if files.Same(before, look()) {
			t.Errorf("%s: the file is taken for the same", name)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
