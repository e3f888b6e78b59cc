package badgerstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// stored makes a store with records in tables and in the log, and closes it.
func stored(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := openTest(t, dir, Options{})
	put(t, s, "k", `1`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, s *Store, key, value string) {
	t.Helper()
	err := s.Update(context.Background(), func(tx store.Tx) error {
		tx.Put(key, []byte(value), time.Time{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *Store, key string) string {
	t.Helper()
	var value []byte
	err := s.View(context.Background(), func(tx store.Tx) error {
		values, err := tx.Get(key)
		if err == nil {
			value = values[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func theFile(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(names) == 0 {
		t.Fatalf("no %s in %s", pattern, dir)
	}
	return names[0]
}

// TestOpenRefuses: never an empty start where records have been.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string) error
		says  string
	}{
		"foreign directory": {func(t *testing.T, dir string) error {
			return os.Remove(filepath.Join(dir, markerName))
		}, "it is no Gatehouse store; use an empty directory"},
		"newer format": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, markerName), []byte(`{"store":"gatehouse","engine":"badger","format":2,"state":"ready"}`), 0o600)
		}, "has format 2, this Gatehouse reads format 1: run the Gatehouse that wrote it and \"gatehouse export\""},
		"damaged marker": {func(t *testing.T, dir string) error {
			return os.Truncate(filepath.Join(dir, markerName), 10)
		}, "is damaged: restore"},
		"no manifest": {func(t *testing.T, dir string) error {
			return os.Remove(filepath.Join(dir, manifestName))
		}, "MANIFEST is missing"},
		"garbage manifest": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, manifestName), []byte(strings.Repeat("garbage ", 100)), 0o600)
		}, "is damaged: "},
		"empty manifest": {func(t *testing.T, dir string) error {
			return os.Truncate(filepath.Join(dir, manifestName), 0)
		}, "restore the directory from a backup"},
		"missing table": {func(t *testing.T, dir string) error {
			return os.Remove(theFile(t, dir, "*.sst"))
		}, ".sst in "},
		"cut table": {func(t *testing.T, dir string) error {
			return os.Truncate(theFile(t, dir, "*.sst"), 30)
		}, ".sst in "},
		"emptied table": {func(t *testing.T, dir string) error {
			return os.Truncate(theFile(t, dir, "*.sst"), 0)
		}, ".sst in "},
		"table of zeros": {func(t *testing.T, dir string) error {
			return overwrite(theFile(t, dir, "*.sst"), 0, 1<<20)
		}, ".sst in "},
		"table with a bad index": {func(t *testing.T, dir string) error {
			return overwrite(theFile(t, dir, "*.sst"), 60, 20)
		}, ".sst in "},
		"table with a bad block": {func(t *testing.T, dir string) error {
			return overwrite(theFile(t, dir, "*.sst"), 0, 20)
		}, ".sst in "},
		"cut manifest": {func(t *testing.T, dir string) error {
			info, err := os.Stat(filepath.Join(dir, manifestName))
			if err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, manifestName), info.Size()-1)
		}, "MANIFEST in "},
		"marker of no state": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, markerName), []byte(`{"store":"gatehouse","engine":"badger","format":1}`), 0o600)
		}, "is damaged: restore"},
		"not a directory": {func(t *testing.T, dir string) error {
			return os.Rename(dir, dir+".old")
		}, "making the store's directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stored(t)
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			if name == "not a directory" {
				if err := os.WriteFile(dir, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(dir, Options{})
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), filepath.Dir(dir)) {
				t.Errorf("says %q\nwant the directory and %q", err, c.says)
			}
		})
	}
}

// overwrite puts zeros over length bytes that begin before from the end.
func overwrite(path string, before, length int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	start := int64(0)
	if before > 0 {
		start = max(0, int64(len(b))-before)
	}
	clear(b[start:min(int64(len(b)), start+length)])
	return os.WriteFile(path, b, 0o600)
}

// TestForeignDirectoryUntouched: a wrong path in the configuration does no
// harm to what is there.
func TestForeignDirectoryUntouched(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("Open says %v, want it to name thesis.txt", err)
	}
	entries, _ := os.ReadDir(dir)
	info, _ := os.Stat(dir)
	if len(entries) != 1 || info.Mode().Perm() != 0o755 {
		t.Errorf("Open changed the directory: %v %v", entries, info.Mode())
	}
}

// TestInterruptedFirstOpen: a crash before the first Open has returned is no
// damage, nothing was stored yet.
func TestInterruptedFirstOpen(t *testing.T) {
	dir := stored(t)
	if err := (&home{dir: dir, lock: openDir(t, dir)}).mark(stateNew); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{manifestName, "KEYREGISTRY", "DISCARD"} {
		if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, dir, Options{})
	put(t, s, "k", `2`)
}

func openDir(t *testing.T, dir string) *os.File {
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestSecondOpen: in this process and in another one; the first goes on.
func TestSecondOpen(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("GATEHOUSE_SECOND"); dir != "" {
		_, err := Open(dir, Options{})
		fmt.Println("second:", err)
		return
	}
	s := openTest(t, t.TempDir(), Options{})
	const says = "is in use by another process: stop that one"
	if _, err := Open(s.dir, Options{}); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("second Open says %v, want %q", err, says)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondOpen$")
	cmd.Env = append(os.Environ(), "GATEHOUSE_SECOND="+s.dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), says) {
		t.Errorf("second process: %v %s, want %q", err, out, says)
	}
	put(t, s, "k", `1`)
	if get(t, s, "k") != `1` {
		t.Error("the first was disturbed")
	}
}

// TestDamageInAnyBlock: a large store is read to its end before it opens, and
// one that is refused is left as it was.
func TestDamageInAnyBlock(t *testing.T) {
	dir := stored(t)
	whole := openTest(t, dir, Options{})
	for i := range 100 { // more than Badger's one block
		put(t, whole, fmt.Sprint("k", i), `"`+strings.Repeat("x", 1000)+`"`)
	}
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	table := theFile(t, dir, "000002.sst")
	sound, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < 100_000; at += 20_000 {
		if err := overwrite(table, at, 20); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s, err := Open(dir, Options{})
			if err == nil {
				s.Close()
				t.Fatalf("opened with damage at %d", at)
			}
			if want := "000002.sst in " + dir + " is damaged"; !strings.Contains(err.Error(), want) {
				t.Errorf("damage at %d: %v, want %q", at, err, want)
			}
		}
		if err := os.WriteFile(table, sound, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if get(t, openTest(t, dir, Options{}), "k99") == "" {
		t.Error("the sound table is not read")
	}
}
