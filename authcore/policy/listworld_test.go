package policy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// listWorld is a policy that allows and one that denies the people of a file,
// with Run following it in the time of a synctest bubble.
type listWorld struct {
	t           *testing.T
	path        string
	lists       *Lists
	allow, deny *Policy
	writes      int

	mu     sync.Mutex // the bubble orders events and the test, but the race detector does not know
	events []ListEvent
}

// inListWorld runs fn in a bubble with the file loaded.
func inListWorld(t *testing.T, content string, fn func(w *listWorld)) {
	path := filepath.Join(t.TempDir(), "people.txt")
	synctest.Test(t, func(t *testing.T) {
		w := &listWorld{t: t, path: path}
		w.lists = NewLists(w.note)
		g := mustGroups(t, w.lists, map[string]string{"staff": "*@staff.test", "listed": "file:" + w.path})
		w.allow = mustPolicy(t, "file:"+w.path, "", g)
		w.deny = mustPolicy(t, "any", "listed", g)
		w.write(content)
		if err := w.lists.Load(nil); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.lists.Run(ctx) })
		defer running.Wait()
		defer stop()
		fn(w)
	})
}

func (w *listWorld) note(e ListEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// write replaces the file. Real time hardly passes in a bubble, so the time of
// the change, which tells one content from another, is set.
func (w *listWorld) write(content string) {
	w.t.Helper()
	w.writes++
	when := time.Now().Add(time.Duration(w.writes) * time.Millisecond)
	if err := os.WriteFile(w.path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chtimes(w.path, when, when); err != nil {
		w.t.Fatal(err)
	}
}

func (w *listWorld) remove() {
	w.t.Helper()
	if err := os.RemoveAll(w.path); err != nil {
		w.t.Fatal(err)
	}
}

// after lets time pass and whatever is due happen.
func (w *listWorld) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// admits checks who is let in where the list allows, and where it denies.
func (w *listWorld) admits(when string, allowed, notDenied string) {
	w.t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		a := mustAddress(w.t, name+"@example.test")
		if got, want := w.allow.Admits(a), strings.Contains(allowed, name); got != want {
			w.t.Errorf("%s: where the list allows, %s passes: %v", when, a, got)
		}
		if got, want := w.deny.Admits(a), strings.Contains(notDenied, name); got != want {
			w.t.Errorf("%s: where the list denies, %s passes: %v", when, a, got)
		}
		if got, want := w.allow.groups.Of(a) != nil, strings.Contains(allowed, name); got != want {
			w.t.Errorf("%s: %s is in the group of the listed: %v", when, a, got)
		}
	}
}

// take returns the events since the last call.
func (w *listWorld) take() []ListEvent {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	for _, e := range events {
		if e.Path != w.path || strings.Contains(fmt.Sprintf("%+v", e), "example.test") {
			w.t.Errorf("an event has another path, or holds a line: %+v", e)
		}
	}
	return events
}

func states(events []ListEvent) string {
	var s []string
	for _, e := range events {
		s = append(s, e.State.String())
	}
	return strings.Join(s, " ")
}

func (w *listWorld) expectStates(when, want string) {
	w.t.Helper()
	if got := states(w.take()); got != want {
		w.t.Errorf("%s: events %q, want %q", when, got, want)
	}
}
