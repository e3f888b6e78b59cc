package policy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
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
		for i := range 9 {
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

// But who was taken out of a list is out within 2 s, also when something goes on writing
// into it, as a log is written. What is denied stays so until it rests.
func TestListThatNeverRests(t *testing.T) {
	for name, write := range map[string]func(w *listWorld, i int){
		"appended to": func(w *listWorld, i int) {
			w.write("a@example.test\n" + strings.Repeat("# still here\n", i) + "c@example.test # but for the end of this li")
		},
		"written anew": func(w *listWorld, i int) {
			w.write("# " + strings.Repeat("x", i%7) + "\na@example.test\nc@example.te")
		},
		"touched": func(w *listWorld, _ int) { w.write("a@example.test\nc") },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inListWorld(t, "a@example.test\nb@example.test\n", func(w *listWorld) {
				for i := range 40 { // for 2 s
					write(w, i)
					w.after(50 * time.Millisecond)
				}
				w.admits("after 2 s", "a", "c")
				for i := range 200 {
					write(w, i)
					w.after(50 * time.Millisecond)
					w.admits("and later", "a", "c")
				}
				w.expectStates("in all", "restless")
				w.write("c@example.test\n")
				w.after(600 * time.Millisecond)
				w.admits("when it rests", "c", "ab")
				w.expectStates("when it rests", "good")
			})
		})
	}
}

// A list that is being written when a configuration starts is read when that is done.
func TestListWaitsAtTheStart(t *testing.T) {
	for name, began := range map[string]time.Duration{"just begun": 0, "for a moment": 100 * time.Millisecond, "long enough to rest once": 190 * time.Millisecond} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inListWorld(t, "a@example.test\nb@example.test\n", func(w *listWorld) {
				w.write("") // an editor has begun
				var written sync.WaitGroup
				written.Go(func() {
					time.Sleep(150 * time.Millisecond)
					w.write("a@example.test\n")
				})
				next := NewLists(nil)
				deny := mustPolicy(t, "any", "file:"+w.path, mustGroups(t, next, nil))
				time.Sleep(began / 2)
				start := time.Now()
				if err := next.Load(nil); err != nil {
					t.Fatal(err)
				}
				if deny.Admits(mustAddress(t, "a@example.test")) {
					t.Error("half of a list is in force")
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("the start took %v", took)
				}
				written.Wait()
			})
		})
	}
	inListWorld(t, "a@example.test\n", func(w *listWorld) { // one that never rests
		ctx, stop := context.WithCancel(w.t.Context())
		var writing sync.WaitGroup
		defer writing.Wait()
		defer stop()
		writing.Go(func() {
			time.Sleep(20 * time.Millisecond) // never at the moment of a look, which could find it truncated
			for i := 0; ctx.Err() == nil; i++ {
				w.write("a@example.test\n" + strings.Repeat("#\n", i) + "junk")
				time.Sleep(50 * time.Millisecond)
			}
		})
		next := NewLists(nil)
		allow := mustPolicy(t, "file:"+w.path, "", mustGroups(t, next, nil))
		start := time.Now()
		if err := next.Load(nil); err != nil || time.Since(start) > 2*time.Second || !allow.Admits(mustAddress(t, "a@example.test")) {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// The time of the file says nothing: a tool that copies sets it back.
func TestListWithItsTimeSetBack(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"in place": func(path string) error {
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString("b")
			return errors.Join(err, file.Close())
		},
		"written anew": func(path string) error { return os.WriteFile(path, []byte("b@example.test\n"), 0o600) },
		"renamed": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("b@example.test\n"), 0o600), os.Rename(path+".new", path))
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			inListWorld(t, "a@example.test\n", func(w *listWorld) {
				w.after(time.Second)
				before, err := os.Stat(w.path)
				if err != nil {
					t.Fatal(err)
				}
				if err := change(w.path); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(w.path, before.ModTime(), before.ModTime()); err != nil {
					t.Fatal(err)
				}
				w.after(2 * time.Second)
				w.admits("2 s after the change", "b", "ac")
			})
		})
	}
}

// A list on a network that is gone: whoever opens or reads it waits, and nothing else
// does.
func TestListThatDoesNotAnswer(t *testing.T) {
	for name, silent := range map[string]func(wait func(), path string) (fs.File, fs.FileInfo, error){
		"opened": func(wait func(), path string) (fs.File, fs.FileInfo, error) {
			wait()
			return files.Open(path)
		},
		"read": func(wait func(), path string) (fs.File, fs.FileInfo, error) {
			file, info, err := files.Open(path)
			return silentFile{file, wait}, info, err
		},
		"answered with an error": func(wait func(), path string) (fs.File, fs.FileInfo, error) {
			wait()
			return nil, nil, syscall.EIO
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "people.txt")
			synctest.Test(t, func(t *testing.T) {
				w := &listWorld{t: t, path: path}
				other := &listWorld{t: t, path: path + ".other"}
				w.write("a@example.test\n")
				other.write("a@example.test\nb@example.test\n")
				answer := make(chan struct{})
				var gone atomic.Bool
				var behind atomic.Int64
				wait := func() {
					if n := behind.Add(1); n > 10 {
						t.Errorf("%d looks stay behind", n)
					}
					<-answer
				}
				open := func(path string) (fs.File, fs.FileInfo, error) {
					if path == w.path && gone.Load() {
						return silent(wait, path)
					}
					return files.Open(path)
				}
				w.lists = NewLists(func(e ListEvent) {
					if e.Path == w.path {
						w.note(e)
					}
				})
				w.lists.open = open
				groups := mustGroups(t, w.lists, map[string]string{"listed": "file:" + w.path})
				w.allow, w.deny = mustPolicy(t, "file:"+w.path, "", groups), mustPolicy(t, "any", "listed", groups)
				allow := mustPolicy(t, "file:"+other.path, "", groups)
				if err := w.lists.Load(nil); err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(w.t.Context())
				var running sync.WaitGroup
				running.Go(func() { w.lists.Run(ctx) })
				w.after(time.Second)
				w.take()
				gone.Store(true)
				lost := time.Now()
				w.write("a@example.test\n") // else it would not be read
				w.after(time.Second)
				other.write("a@example.test\n")
				w.after(2 * time.Second)
				if allow.Admits(mustAddress(t, "b@example.test")) {
					t.Error("another list is not followed")
				}
				w.after(3 * time.Second)
				w.admits("held", "a", "bc")
				if events := w.take(); states(events) != "held" || !strings.Contains(events[0].Problem, "does not answer") {
					t.Errorf("events %+v", events)
				}
				w.after(time.Until(lost.Add(59 * time.Second)))
				w.admits("just before the minute ends", "a", "bc")
				w.after(2500 * time.Millisecond)
				w.admits("after a minute", "", "bc")
				w.expectStates("after a minute", "refused")

				start, next := time.Now(), NewLists(nil)
				next.open = open
				next.add(w.path)
				if err := next.Load(nil); err == nil || !strings.Contains(err.Error(), "file:"+w.path+": the file does not answer") || time.Since(start) > 5*time.Second {
					t.Errorf("a start ends after %v with %v", time.Since(start), err)
				}
				gone.Store(false) // mounted anew: who has asked before hears nothing yet
				w.after(3 * time.Minute)
				w.admits("mended", "a", "bc")
				w.expectStates("mended", "good")
				close(answer)
				w.after(2 * time.Second)
				w.admits("once the former looks are over", "a", "bc")
				stop()
				running.Wait()
			})
		})
	}
}

// A stop waits for no file.
func TestListsStopWhileOneDoesNotAnswer(t *testing.T) {
	inListWorld(t, "a@example.test\n", func(w *listWorld) {
		answer := make(chan struct{})
		defer close(answer)
		var gone atomic.Bool
		next := NewLists(nil)
		next.open = func(path string) (fs.File, fs.FileInfo, error) {
			if gone.Load() {
				<-answer
			}
			return files.Open(path)
		}
		next.add(w.path + ".link")
		if err := os.Symlink(w.path, w.path+".link"); err != nil {
			t.Fatal(err)
		}
		if err := next.Load(nil); err != nil {
			t.Fatal(err)
		}
		gone.Store(true)
		for _, running := range []time.Duration{300 * time.Millisecond, 5 * time.Second, 2 * time.Minute} {
			ctx, stop := context.WithTimeout(w.t.Context(), running)
			next.Run(ctx)
			if late := time.Since(func() time.Time { at, _ := ctx.Deadline(); return at }()); late > 0 {
				t.Errorf("after %v it ends %v late", running, late)
			}
			stop()
		}
	})
}

// silentFile is a file whose content does not come.
type silentFile struct {
	fs.File
	wait func()
}

func (f silentFile) Read(b []byte) (int, error) {
	f.wait()
	return f.File.Read(b)
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
	poll := func(now time.Time) { w.lists.poll(t.Context(), w.lists.files[0], now) }
	poll(now)
	poll(now.Add(listSettle - 1))
	if !p.Admits(a) {
		t.Error("taken over too early")
	}
	poll(now.Add(listSettle))
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
		w.lists.poll(t.Context(), w.lists.files[0], now)
		now = now.Add(listSettle)
		w.lists.poll(t.Context(), w.lists.files[0], now)
		if got, want := p.Admits(b), i%2 == 1; got != want {
			t.Fatalf("change %d: b passes: %v", i, got)
		}
	}
	close(done)
	readers.Wait()
}
