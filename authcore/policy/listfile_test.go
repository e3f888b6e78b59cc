package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestListLines(t *testing.T) {
	text := "\ufeff# people\r\n\r\n  a@example.test  \r\n\t*@domain.test\t# all of them\r\nhash#tag@example.test\r\nstaff\r\n#b@example.test\nlast@example.test"
	inListWorld(t, text, func(w *listWorld) {
		for address, want := range map[string]bool{
			"a@example.test": true, "x@domain.test": true, "x@sub.domain.test": false, "hash#tag@example.test": true, "hash@example.test": false,
			"x@staff.test": true, "b@example.test": false, "last@example.test": true,
		} {
			allowed, rule := w.allow.Explain(mustAddress(t, address))
			if allowed != want || want && rule != "file:"+w.path {
				t.Errorf("%s: %v by %q", address, allowed, rule)
			}
			if of := strings.Join(w.allow.groups.Of(mustAddress(t, address)), " "); strings.Contains(of, "listed") != want {
				t.Errorf("%s is in %q", address, of)
			}
		}
	})
}

func TestListBadLinesAreBounded(t *testing.T) {
	r := parseList(strings.Repeat("a b@example.test\n", 1000), func(string) bool { return false })
	if r.badLines != 1000 || len(r.bad) != maxBadLines || r.bad[19].Line != 20 {
		t.Errorf("%d bad lines, %d kept", r.badLines, len(r.bad))
	}
}

func TestListErrorsAtTheStart(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory; make it before the start",
		dir:                        "not a regular file",
		file("list", "a@example.test\nsecret@x.test,y@z\n"): "line 2: two entries are written apart, without a comma",
		file("any", "any\n"):                               "line 1: any and file: are written in the Caddyfile",
		file("file", "\nfile:/x\n"):                        "line 2: any and file: are written in the Caddyfile",
		file("group", "staff\n"):                           "line 1: no group is called that",
		file("star", "# x\n*\nsecret\nsecret\n"):           "line 2: this names nobody in particular (3 such lines in all)",
		file("utf16", "\xff\xfea\x00@\x00x\x00.\x00t\x00"): "line 1: ",
		file("nul", "secret@example.test\x00"):             "line 1: ",
		file("junk", "<secret@example.test>"):              "line 1: ",
	} {
		lists := NewLists(func(e ListEvent) { t.Errorf("event %+v at the start", e) })
		if _, err := Compile(mustWho(t, "file:"+path), nil, mustGroups(t, lists, nil)); err != nil {
			t.Fatal(err)
		}
		err := lists.Load(nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q", path, err, want)
		}
	}
}

func TestListErrorsAreReportedTogether(t *testing.T) {
	lists := NewLists(nil)
	lists.add("/nowhere/one")
	lists.add("/nowhere/two")
	lists.add("/nowhere/two")
	err := lists.Load(nil)
	if err == nil || strings.Count(err.Error(), "/nowhere/one") != 1 || strings.Count(err.Error(), "/nowhere/two") != 1 {
		t.Errorf("%v", err)
	}
}

func TestListUnreadable(t *testing.T) {
	for name, spoil := range map[string]func(w *listWorld){
		"a directory": func(w *listWorld) {
			w.remove()
			_ = os.Mkdir(w.path, 0o700)
		},
		"too large": func(w *listWorld) { _ = os.Truncate(w.path, maxListFile+1) },
		"a dangling link": func(w *listWorld) {
			w.remove()
			_ = os.Symlink("nowhere", w.path)
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inListWorld(t, "a@example.test\n", func(w *listWorld) {
				spoil(w)
				w.after(2 * time.Second)
				w.admits(name, "a", "bc")
				w.expectStates(name, "held")
				w.after(time.Minute)
				w.admits(name+" for a minute", "", "bc")
				w.expectStates(name, "refused")
				w.remove()
				w.write("a@example.test")
				w.after(2 * time.Second)
				w.admits("mended", "a", "bc")
			})
		})
	}
}
