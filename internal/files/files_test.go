package files_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
	if _, err := fs.ReadFile(files.Dir(dir), "pipe"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
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
	if content, err := fs.ReadFile(files.Dir(dir), "file"); err != nil || len(content) != 1024 {
		t.Errorf("in a directory: %d bytes, %v", len(content), err)
	}
}
