package policy

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// listPoll and listSettle together take a change over within 600 ms, when
	// the file is not written to any more; 2 s are promised.
	listPoll   = 250 * time.Millisecond
	listSettle = 200 * time.Millisecond

	// listHold is how long a list that can't be read goes on to admit people:
	// long enough for a deployment to put a file back, not for a weekend.
	listHold = 60 * time.Second
)

// Lists are the live file: lists of one configuration. The order of calls is
// add for each, Load, Run; reading goes on without locks all the while, by the
// policies and groups that were compiled with them.
type Lists struct {
	onEvent func(ListEvent)
	files   []*listFile // touched by Add, Load and Run only
	groups  *Groups     // to know a group's name in a line; may be nil
	now     atomic.Pointer[snapshot]
}

// snapshot is the content of all lists at one moment. It is never changed.
type snapshot struct {
	version uint64
	files   map[string]listSides
}

// side tells the uses of a list apart: while it is broken, deny goes on to
// refuse everybody it knew, and allow must not admit them.
type side bool

const (
	allowSide side = false
	denySide  side = true
)

type listSides struct {
	allow, deny []*entries
}

// on returns what a list holds for one use of it. A list that was never loaded
// admits nobody, and denies everybody.
func (s *snapshot) on(path string, use side) []*entries {
	list, loaded := s.files[path]
	switch {
	case use == allowSide:
		return list.allow
	case !loaded:
		return []*entries{{any: true}}
	}
	return list.deny
}

// ListState is what became of a list.
type ListState int

const (
	// ListGood: the whole content is in force.
	ListGood ListState = iota
	// ListBadLines: bad lines admit nobody, the others are in force; where the
	// list is used to deny, together with what the last good one held.
	ListBadLines
	// ListHeld: it can't be read, and what it held stays in force: for 60 s,
	// or without limit where it is used to deny.
	ListHeld
	// ListRefused: it could not be read for 60 s and admits nobody.
	ListRefused
	// ListEmptied: it is in force and names nobody, and did name somebody before.
	ListEmptied
)

func (s ListState) String() string {
	return [...]string{"good", "bad_lines", "held", "refused", "emptied"}[s]
}

// ListEvent reports that a list changed or its state did. It holds no address.
type ListEvent struct {
	Path     string
	State    ListState
	Entries  int       // lines in force, for ListGood and ListBadLines; for ListEmptied those before
	BadLines int       // how many lines are bad
	Bad      []BadLine // the first 20 of them
	Problem  string    // for ListHeld and ListRefused: why it can't be read
}

// NewLists returns lists that report to onEvent, which may be nil. It is
// called by Run, one event at a time, after the change is in force.
func NewLists(onEvent func(ListEvent)) *Lists {
	if onEvent == nil {
		onEvent = func(ListEvent) {}
	}
	l := &Lists{onEvent: onEvent}
	l.now.Store(&snapshot{})
	return l
}

// add makes the file at path one of the lists. Adding it again does nothing.
func (l *Lists) add(path string) {
	same := func(f *listFile) bool { return f.path == path }
	if !slices.ContainsFunc(l.files, same) {
		l.files = append(l.files, &listFile{path: path})
	}
}

// Paths are those of the lists.
func (l *Lists) Paths() []string {
	paths := make([]string, len(l.files))
	for i, f := range l.files {
		paths[i] = f.path
	}
	return paths
}

// Load reads every list once. A list that can't be read or has a bad line is
// an error that names file and line, and what uses the list, as usedBy tells (nil:
// nothing): at the start of a configuration somebody is there to mend it.
func (l *Lists) Load(usedBy func(path string) string) error {
	var errs []error
	for _, f := range l.files {
		called := "file:" + f.path
		if usedBy != nil {
			called += " (" + usedBy(f.path) + ")"
		}
		errs = append(errs, f.load(called, l.knows))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	l.publish()
	return nil
}

// Run takes changes over until ctx ends: within 2 s of a change, once the file
// was read whole and unchanged for 200 ms. It returns at once when there are
// no lists.
func (l *Lists) Run(ctx context.Context) {
	if len(l.files) == 0 {
		return
	}
	ticker := time.NewTicker(listPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.poll(time.Now())
		}
	}
}

// poll looks at every list and makes public what changed.
func (l *Lists) poll(now time.Time) {
	var events []ListEvent
	for _, f := range l.files {
		events = append(events, f.poll(now, l.knows)...)
	}
	if len(events) == 0 {
		return
	}
	l.publish()
	for _, e := range events {
		l.onEvent(e)
	}
}

func (l *Lists) publish() {
	next := &snapshot{version: l.Version() + 1, files: map[string]listSides{}}
	for _, f := range l.files {
		next.files[f.path] = f.sides()
	}
	l.now.Store(next)
}

// Version changes whenever Policy.Admits or Groups.Of may answer differently
// than before, so that callers can keep what depends on them.
func (l *Lists) Version() uint64 { return l.current().version }

func (l *Lists) current() *snapshot { return l.now.Load() }

func (l *Lists) knows(group string) bool {
	return l.groups != nil && l.groups.named[group] != nil
}
