package policy

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

const (
	// listPoll and listSettle together take a change over within 600 ms, when
	// the file is not written to any more; 2 s are promised.
	listPoll   = 250 * time.Millisecond
	listSettle = 200 * time.Millisecond

	// listRestless is after how long a list that does not rest is read anyway: whoever
	// was taken out of it must be out within those 2 s, too.
	listRestless = 1500 * time.Millisecond

	// listHold is how long a list that can't be read goes on to admit people:
	// long enough for a deployment to put a file back, not for a weekend.
	listHold = 60 * time.Second
)

// Lists are the live file: lists of one configuration. The order of calls is
// add for each, Load, Run; reading goes on without locks all the while, by the
// policies and groups that were compiled with them.
type Lists struct {
	onEvent func(ListEvent)
	open    func(path string) (fs.File, fs.FileInfo, error)
	files   []*listFile // touched by add, Load and Run only
	groups  *Groups     // to know a group's name in a line; may be nil
	taking  sync.Mutex  // while what was read of a list is put in force
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
	// ListRestless: it has been written to without a pause. Its whole lines are in
	// force; where the list is used to deny, together with what the last good one held.
	ListRestless
)

func (s ListState) String() string {
	return [...]string{"good", "bad_lines", "held", "refused", "emptied", "restless"}[s]
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
	l := &Lists{onEvent: onEvent, open: files.Open}
	l.now.Store(&snapshot{})
	return l
}

// add makes the file at path one of the lists. Adding it again does nothing.
func (l *Lists) add(path string) {
	same := func(f *listFile) bool { return f.path == path }
	if !slices.ContainsFunc(l.files, same) {
		l.files = append(l.files, &listFile{path: path, open: l.open})
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

// Load reads every list once it rests. A list that can't be read or has a bad line is
// an error that names file and line, and what uses the list, as usedBy tells (nil:
// nothing): at the start of a configuration somebody is there to mend it.
func (l *Lists) Load(usedBy func(path string) string) error {
	errs := make([]error, len(l.files))
	var all sync.WaitGroup
	for i, f := range l.files {
		called := "file:" + f.path
		if usedBy != nil {
			called += " (" + usedBy(f.path) + ")"
		}
		all.Go(func() { errs[i] = f.load(called, l.knows) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	l.publish()
	return nil
}

// Run takes changes over until ctx ends: within 2 s of a change, once the file was read
// whole and unchanged for 200 ms. No list waits for another, nor the end for any.
func (l *Lists) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, f := range l.files {
		all.Go(func() { l.follow(ctx, f) })
	}
	all.Wait()
}

func (l *Lists) follow(ctx context.Context, f *listFile) {
	ticker := time.NewTicker(listPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.poll(ctx, f, time.Now())
		}
	}
}

// poll looks at a list and makes public what changed. Of one that is lost it waits no
// longer than what it held is in force.
func (l *Lists) poll(ctx context.Context, f *listFile, began time.Time) {
	looking, entered := ctx, time.Now()
	if !f.lostAt.IsZero() && f.state != ListRefused {
		var cancel context.CancelFunc
		looking, cancel = context.WithTimeout(ctx, f.lostAt.Add(listHold).Sub(began))
		defer cancel()
	}
	read, err := f.look(looking, began)
	if ctx.Err() != nil {
		return
	}
	l.taking.Lock()
	defer l.taking.Unlock()
	e, changed := f.found(began, began.Add(time.Since(entered)), read, err, l.knows)
	if changed {
		l.publish()
	}
	if e != nil {
		l.onEvent(*e)
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
