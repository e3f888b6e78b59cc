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
// a row that holds names a test, and that test has a part with the row's name.
func TestRowsAreShownByTests(t *testing.T) {
	text, err := os.ReadFile("../docs/apis.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := sources(t)
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
		shownBy := false
		for _, name := range names {
			if parts[name[1]] == nil {
				t.Errorf("%s: there is no %s", id, name[1])
			}
			shownBy = shownBy || parts[name[1]][id]
		}
		if !shownBy {
			t.Errorf("%s: %s has no part with this name", id, shown)
		}
	}
}

// sources returns the names of the parts of each test function, word by word.
func sources(t *testing.T) map[string]map[string]bool {
	t.Helper()
	parts := map[string]map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?(\w+)\(`)
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
		at := function.FindAllSubmatchIndex(text, -1)
		for i, m := range at {
			name, end := string(text[m[2]:m[3]]), len(text)
			if i+1 < len(at) {
				end = at[i+1][0]
			}
			if parts[name] == nil {
				parts[name] = map[string]bool{}
			}
			for _, part := range subtest.FindAllSubmatch(text[m[0]:end], -1) {
				for word := range strings.FieldsSeq(string(part[1])) {
					parts[name][word] = true
				}
			}
		}
	}
	return parts
}
