package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	row     = regexp.MustCompile(`(?m)^\| ([A-Z]+-[0-9]+) \|.*\| ([^|]*) \| ([^|]*) \|$`)
	subtest = regexp.MustCompile(`t\.Run\("([^"]+)"`)
	inTicks = regexp.MustCompile("`(Test\\w+)`")
)

// TestRowsAreShownByTests compares the tables of docs/apis.md with the tests:
// a row that holds names a test, and that test has a part with the row's name,
// or says itself which row it shows.
func TestRowsAreShownByTests(t *testing.T) {
	text, err := os.ReadFile("../docs/apis.md")
	if err != nil {
		t.Fatal(err)
	}
	functions, parts := sources(t)
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 100 {
		t.Fatalf("docs/apis.md has %d rows", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		id, state, shown := r[1], r[2], r[3]
		if seen[id] {
			t.Errorf("%s stands twice", id)
		}
		seen[id] = true
		if strings.HasPrefix(state, "later") {
			continue
		}
		names := inTicks.FindAllStringSubmatch(shown, -1)
		if !strings.HasPrefix(state, "holds") || len(names) == 0 {
			t.Errorf("%s: %s, shown by %q", id, state, shown)
		}
		for _, name := range names {
			if !functions[name[1]] {
				t.Errorf("%s: there is no %s", id, name[1])
			}
		}
		if !parts[id] {
			t.Errorf("%s: no test has a part with this name", id)
		}
	}
}

// sources returns the names of all test functions, and of their parts, word by
// word.
func sources(t *testing.T) (functions, parts map[string]bool) {
	t.Helper()
	functions, parts = map[string]bool{}, map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	files, err := filepath.Glob("*/*_test.go")
	more, err2 := filepath.Glob("../caddymodule/*_test.go")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			functions[m[1]] = true
		}
		for _, m := range subtest.FindAllStringSubmatch(string(text), -1) {
			for word := range strings.FieldsSeq(m[1]) {
				parts[word] = true
			}
		}
	}
	return functions, parts
}
