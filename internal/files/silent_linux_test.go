package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
	"github.com/gatehouse-auth/gatehouse/internal/files/filestest"
)

// TestSilent: a file whose opening the machine does not answer keeps nobody.
func TestSilent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	answer := filestest.Silent(t, path)
	began := time.Now()
	if _, err := files.Read(path, 1024); !errors.Is(err, files.ErrSilent) {
		t.Errorf("read: %v", err)
	}
	if _, err := fs.ReadFile(files.Dir(filepath.Dir(path), 1024), "file"); !errors.Is(err, files.ErrSilent) {
		t.Errorf("read in a directory: %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	answer()
	if content, err := files.Read(path, 1024); err != nil || string(content) != "x" {
		t.Errorf("once it answers: %q, %v", content, err)
	}
}
