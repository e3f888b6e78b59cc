package policy

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestListFollowsTheFile(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		w.admits("at the start", "a", "bc")
		version := w.lists.Version()
		w.after(time.Minute)
		w.expectStates("without a change", "")
		if w.lists.Version() != version {
			t.Error("the version changed without a change")
		}
		w.write("b@example.test\nc@example.test # new\n")
		w.after(2 * time.Second)
		w.admits("2 s after a change", "bc", "a")
		w.expectStates("after a change", "good")
		if w.lists.Version() == version {
			t.Error("the version did not change")
		}
		w.write("")
		w.after(2 * time.Second)
		w.admits("emptied", "", "abc")
	})
}

// An editor that saves by writing a new file and renaming it over the old one.
func TestListFollowsARename(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		before, err := os.Stat(w.path)
		if err != nil {
			t.Fatal(err)
		}
		next := w.path + ".new"
		if err := os.WriteFile(next, []byte("b@example.test\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(next, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, w.path); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Second)
		w.admits("same size and time, another file", "b", "ac")
	})
}

// While somebody writes, nothing is taken over: half a deny list is a hole.
func TestListWaitsUntilTheFileRests(t *testing.T) {
	inListWorld(t, "a@example.test\nb@example.test\n", func(w *listWorld) {
		for i := range 30 {
			w.write(strings.Repeat("#", i) + "\na@example.test\n")
			w.after(150 * time.Millisecond)
			w.admits("while it is written", "ab", "c")
		}
		w.write("a@example.test\nc@example.test\n")
		w.after(600 * time.Millisecond)
		w.admits("when it rests", "ac", "b")
		w.expectStates("in all", "good")
	})
}

func TestListWithABadLine(t *testing.T) {
	inListWorld(t, "a@example.test\nb@example.test\n", func(w *listWorld) {
		w.write("# people\na@example.test\nb@example.test,x@y.test\nc@example.test\n")
		w.after(2 * time.Second)
		w.admits("with a bad line", "ac", "")
		events := w.take()
		if states(events) != "bad_lines" || events[0].BadLines != 1 || events[0].Bad[0].Line != 3 || events[0].Entries != 2 {
			t.Errorf("events %+v", events)
		}

		w.write("junk!\n")
		w.after(2 * time.Second)
		w.admits("with only bad lines", "", "c")
		w.after(10 * time.Minute)
		w.admits("ten minutes later", "", "c")
		w.expectStates("with only bad lines", "bad_lines")

		w.write("c@example.test\n")
		w.after(2 * time.Second)
		w.admits("mended", "c", "ab")
		w.expectStates("mended", "good")
	})
}

// An editor or a script that fails may leave an empty file. It is believed, but
// not in silence.
func TestListEmptied(t *testing.T) {
	inListWorld(t, "a@example.test\nb@example.test\n", func(w *listWorld) {
		w.write("# nobody\n")
		w.after(2 * time.Second)
		w.admits("emptied", "", "abc")
		if events := w.take(); states(events) != "emptied" || events[0].Entries != 2 {
			t.Errorf("events %+v", events)
		}
		w.write("")
		w.after(2 * time.Second)
		w.expectStates("still empty", "good")
		w.write("junk!\n")
		w.after(2 * time.Second)
		w.expectStates("bad lines alone", "bad_lines")
		w.write("a@example.test\n")
		w.after(2 * time.Second)
		w.expectStates("mended", "good")
	})
	inListWorld(t, "", func(w *listWorld) {
		w.write("# still nobody\n")
		w.after(2 * time.Second)
		w.expectStates("empty from the start", "good")
	})
}

func TestListMissing(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		w.remove()
		w.after(time.Second)
		w.admits("at once", "a", "bc")
		if events := w.take(); states(events) != "held" || events[0].Problem != "no such file or directory" {
			t.Errorf("events %+v", events)
		}
		w.after(58 * time.Second)
		w.admits("just before the minute ends", "a", "bc")
		w.after(2 * time.Second)
		w.admits("after a minute", "", "bc")
		w.expectStates("after a minute", "refused")
		w.after(10 * time.Minute)
		w.admits("ten minutes later", "", "bc")
		w.expectStates("ten minutes later", "")
		w.write("a@example.test\nb@example.test\n")
		w.after(2 * time.Second)
		w.admits("back again", "ab", "c")
		w.expectStates("back again", "good")
	})
}

func TestListMissingForAMoment(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		kept := w.path + ".kept"
		if err := os.Rename(w.path, kept); err != nil {
			t.Fatal(err)
		}
		w.after(50 * time.Second)
		if err := os.Rename(kept, w.path); err != nil {
			t.Fatal(err)
		}
		w.after(50 * time.Second)
		w.admits("the same file came back", "a", "bc")
		w.expectStates("in all", "held good")
	})
}

func TestListMissingWithBadLines(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		w.write("b@example.test\nbad line\n")
		w.after(2 * time.Second)
		w.admits("with a bad line", "b", "c")
		w.remove()
		w.after(2 * time.Second)
		w.admits("missing", "b", "c")
		w.after(2 * time.Minute)
		w.admits("missing for two minutes", "", "c")
		w.expectStates("in all", "bad_lines held refused")
	})
}

// The ticker of a busy machine may fire twice in a row.
func TestListRestsForItsTimeNotForTwoLooks(t *testing.T) {
	w := &listWorld{t: t, path: filepath.Join(t.TempDir(), "people.txt"), lists: NewLists(nil)}
	w.write("a@example.test\n")
	p := mustPolicy(t, "file:"+w.path, "", mustGroups(t, w.lists, nil))
	if err := w.lists.Load(nil); err != nil {
		t.Fatal(err)
	}
	w.write("")
	now, a := time.Now(), mustAddress(t, "a@example.test")
	w.lists.poll(now)
	w.lists.poll(now.Add(listSettle - 1))
	if !p.Admits(a) {
		t.Error("taken over too early")
	}
	w.lists.poll(now.Add(listSettle))
	if p.Admits(a) {
		t.Error("not taken over")
	}
}

// A list may name the group that names the list: nobody can rule that out
// while files change.
func TestListInACircle(t *testing.T) {
	inListWorld(t, "listed\nstaff\na@example.test\n", func(w *listWorld) {
		w.admits("in a circle", "a", "bc")
	})
}

// A list that nobody loaded fails closed on either side.
func TestListNotLoaded(t *testing.T) {
	g := mustGroups(t, NewLists(nil), nil)
	a := mustAddress(t, "a@example.test")
	if mustPolicy(t, "file:/x", "", g).Admits(a) || mustPolicy(t, "any", "file:/x", g).Admits(a) {
		t.Error("somebody passes by a list that was never read")
	}
}

func TestListsRunWithoutLists(t *testing.T) {
	NewLists(nil).Run(t.Context()) // returns at once, or this test never ends
}

// Readers and the writer of lists share nothing but the snapshot.
func TestListsUnderUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.txt")
	w := &listWorld{t: t, path: path, lists: NewLists(nil)}
	w.write("a@example.test\n")
	g := mustGroups(t, w.lists, map[string]string{"listed": "file:" + path})
	p := mustPolicy(t, "listed", "", g)
	if err := w.lists.Load(nil); err != nil {
		t.Fatal(err)
	}
	a, b := mustAddress(t, "a@example.test"), mustAddress(t, "b@example.test")
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				p.Admits(a)
				g.Of(b)
				w.lists.Version()
			}
		})
	}
	now := time.Now()
	for i := range 50 {
		w.write([]string{"a@example.test\n", "a@example.test\nb@example.test\n"}[i%2])
		w.lists.poll(now)
		now = now.Add(listSettle)
		w.lists.poll(now)
		if got, want := p.Admits(b), i%2 == 1; got != want {
			t.Fatalf("change %d: b passes: %v", i, got)
		}
	}
	close(done)
	readers.Wait()
}
