package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestOptionTables compares the tables of docs/configuration.md with what the
// Caddyfile knows: a word that is not known is refused with those that are.
func TestOptionTables(t *testing.T) {
	text := string(read(t, "docs/configuration.md"))
	for heading, place := range map[string]string{
		"sub-directive":     "{\ngatehouse {\nmail log\n}\n}\nhttp://localhost {\ngatehouse any {\nno_such_word\n}\n}",
		"option":            "{\ngatehouse {\nno_such_word\n}\n}",
		"in `mail smtp`":    "{\ngatehouse {\nmail smtp localhost:25 {\nno_such_word\n}\n}\n}",
		"in `mail mailgun`": "{\ngatehouse {\nmail mailgun example.com {\nno_such_word\n}\n}\n}",
		"in `mail graph`":   "{\ngatehouse {\nmail graph example.com {\nno_such_word\n}\n}\n}",
		"in `mail gmail`":   "{\ngatehouse {\nmail gmail {\nno_such_word\n}\n}\n}",
		"in `oauth2`":       "{\ngatehouse {\nmail smtp localhost:25 {\noauth2 google {\nno_such_word\n}\n}\n}\n}",
		"in `limits`":       "{\ngatehouse {\nlimits {\nno_such_word\n}\n}\n}",
		"in `sms twilio`":   "{\ngatehouse {\nsms twilio AC {\nno_such_word\n}\n}\n}",
		"in `sms webhook`":  "{\ngatehouse {\nsms webhook https://localhost/ {\nno_such_word\n}\n}\n}",
		"in `app`":          "{\ngatehouse {\napp shop {\nno_such_word\n}\n}\n}",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(place), nil)
		if err == nil {
			t.Fatalf("%s: no_such_word is known", heading)
		}
		_, list, ok := strings.Cut(err.Error(), "there are ")
		if !ok {
			t.Fatalf("%s: the error names no words: %v", heading, err)
		}
		known := strings.Split(strings.TrimSpace(list), ", ")
		slices.Sort(known)
		if documented := firstWords(text, heading); !slices.Equal(documented, known) {
			t.Errorf("%s: docs/configuration.md has %v, the Caddyfile knows %v", heading, documented, known)
		}
	}
}

var firstWord = regexp.MustCompile("^\\| `([a-z0-9_]+)")

// firstWords are what the rows of the table under heading begin with.
func firstWords(text, heading string) []string {
	_, rows, _ := strings.Cut(text, "| "+heading+" | ")
	words := map[string]bool{}
	for line := range strings.Lines(rows) {
		if m := firstWord.FindStringSubmatch(line); m != nil {
			words[m[1]] = true
		} else if strings.TrimSpace(line) == "" {
			break
		}
	}
	return slices.Sorted(maps.Keys(words))
}

var (
	testName   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9]+)\(`)
	link       = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
	makeTarget = regexp.MustCompile("(?m)(?:`| {4})make ([a-z]+)")
)

// TestNamedTestsExist: a document that names a test promises that it is there.
func TestNamedTestsExist(t *testing.T) {
	exist := map[string]bool{}
	for _, file := range files(t, "_test.go") {
		for _, m := range testFunc.FindAllSubmatch(read(t, file), -1) {
			exist[string(m[1])] = true
		}
	}
	for _, file := range files(t, ".md") {
		for _, m := range testName.FindAllSubmatch(read(t, file), -1) {
			if !exist[string(m[1])] {
				t.Errorf("%s names %s, which does not exist", file, m[1])
			}
		}
	}
}

var attackRow = regexp.MustCompile(`(?m)^\| (T[0-9]+[a-z]?) \|`)

// TestAttacksAreNumberedOnce: a number stands for one attack.
func TestAttacksAreNumberedOnce(t *testing.T) {
	rows := attackRow.FindAllSubmatch(read(t, "docs/security.md"), -1)
	if len(rows) < 50 {
		t.Fatalf("docs/security.md has %d rows of attacks", len(rows))
	}
	seen := map[string]bool{}
	for _, m := range rows {
		if n := string(m[1]); seen[n] {
			t.Errorf("docs/security.md has %s twice", n)
		} else {
			seen[n] = true
		}
	}
}

// A decision is cited by its number: each has one, which its title says too.
func TestDecisionsAreNumberedOnce(t *testing.T) {
	files, err := filepath.Glob("docs/decisions/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i, file := range files {
		number, title := 0, 0
		_, _ = fmt.Sscanf(filepath.Base(file), "%04d-", &number)
		_, _ = fmt.Sscanf(string(read(t, file)), "# %d.", &title)
		if number != i+1 || title != number {
			t.Errorf("%s is the decision number %d, with the title of number %d", file, i+1, title)
		}
	}
}

// TestLinksLeadSomewhere checks links between files, and targets of make.
func TestLinksLeadSomewhere(t *testing.T) {
	makefile := string(read(t, "Makefile"))
	for _, file := range files(t, ".md") {
		text := read(t, file)
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := string(m[1])
			if strings.Contains(target, ":") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), target)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for _, m := range makeTarget.FindAllSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+string(m[1])+":") {
				t.Errorf("%s: make has no target %s", file, m[1])
			}
		}
	}
}

var update = flag.Bool("update", false, "write llms.txt anew")

// TestIndexOfDocumentation: docs/README.md leads to every page for people who
// run Gatehouse, and llms.txt is the same index with addresses that a program
// can fetch. Decision notes are reached through the pages that name them.
func TestIndexOfDocumentation(t *testing.T) {
	index := string(read(t, "docs/README.md"))
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "docs/screenshots/README.md") {
		if name := strings.TrimPrefix(page, "docs/"); name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
	if !strings.Contains(string(read(t, "README.md")), "](docs/README.md)") {
		t.Error("README.md does not lead to docs/README.md")
	}
	text := strings.NewReplacer("](", "](https://github.com/gatehouse-auth/gatehouse/blob/main/docs/", "# Documentation\n", "# Gatehouse\n\n> Sign-in by email in front of any web app: a module of Caddy, forward-auth for other proxies, JSON APIs.\n").Replace(index)
	if *update {
		if err := os.WriteFile("llms.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if string(read(t, "llms.txt")) != text {
		t.Error("llms.txt is not the index of docs/README.md: make golden")
	}
}

// files lists the files with this ending that belong to the project.
func files(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ending) {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no file ends in %s: %v", ending, err)
	}
	return found
}

// TestScriptsParse: shell scripts that nobody runs by hand rot unseen.
func TestScriptsParse(t *testing.T) {
	inPackages, err := filepath.Glob("packaging/files/*.sh") // run as root, by any shell
	if err != nil || len(inPackages) < 7 {
		t.Fatal(inPackages, err)
	}
	for shell, scripts := range map[string][]string{"bash": {".ci/run", ".ci/tools", ".ci/go-test", ".ci/last-release"}, "sh": inPackages} {
		for _, script := range scripts {
			if out, err := exec.Command(shell, "-n", script).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", script, err, out)
			}
		}
	}
}
