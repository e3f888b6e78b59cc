package policy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// People edit a list with an editor, a deployment puts another in its place, a script
// appends to it; and a mistake must neither lock everybody out nor let anybody in. So a
// change counts only when the file was read whole and rested for a moment before and
// after (look), at the start of a configuration, too. What follows:
//
//	good            in force, and kept as the last good one
//	bad lines       its good lines admit; to deny, the last good one counts as well
//	restless        written to without a pause: its whole lines, as with bad ones
//	can't be read   what it held stays in force for a minute (listHold), then it
//	                admits nobody, and denies whom it denied
//	readable again  as new
//
// At the start of a configuration somebody is there to mend it: then bad lines and what
// can't be read are errors (load). The file is opened at every look, because a lost
// permission changes nothing else about it. A disk or network that does not answer must
// not hold up other lists or a stop: each list is followed by itself, and a look that
// does not end is left behind (files.Within).

const (
	// maxListFile bounds a list: half a million addresses.
	maxListFile = 16 << 20

	maxBadLines = 20
)

// listFile is one list and what was seen of it last.
type listFile struct {
	path string
	open func(path string) (fs.File, fs.FileInfo, error)

	lies lie

	inForce  *entries // the good lines of the last reading
	lines    int      // how many these are
	lastGood *entries // the last reading that was good

	state   ListState // reported last
	sum     [sha256.Size]byte
	lostAt  time.Time // since when it can't be read; zero: it can
	problem string
}

// lie is how a list lies on its disk.
type lie struct {
	seen    fs.FileInfo // nil: never, or it could not be read
	since   time.Time   // since when it is as seen
	moving  time.Time   // since when it changes without having been taken over
	settled bool        // what was seen has been taken over
}

// content is what a look read.
type content struct {
	text     string
	restless bool // the file did not rest, and only whole lines are here
}

// sides returns what is in force for either use of the list.
func (f *listFile) sides() listSides {
	s := listSides{allow: []*entries{f.inForce}, deny: []*entries{f.inForce}}
	if f.state == ListRefused {
		s.allow = nil
	}
	if f.inForce != f.lastGood {
		s.deny = append(s.deny, f.lastGood)
	}
	return s
}

// load reads the list at the start of a configuration, once it rests. Errors name it as
// called.
func (f *listFile) load(called string, knows func(string) bool) error {
	for {
		read, err := f.look(context.Background(), time.Now())
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %s; make it before the start, with one address, *@domain or group on a line", called, problem(err))
		}
		if err != nil {
			return fmt.Errorf("%s: %s; have it be a file that whoever runs Caddy can read", called, problem(err))
		}
		if read == nil {
			<-time.After(listSettle / 4)
			continue
		}
		r := parseList(read.text, knows)
		if len(r.bad) > 0 {
			return fmt.Errorf("%s, line %d: %s (%d such lines in all)", called, r.bad[0].Line, r.bad[0].Problem, r.badLines)
		}
		f.take(*read, r)
		f.lastGood, f.state = r.entries, ListGood
		return nil
	}
}

// look returns the content if it is new and whole; nil: there is nothing to take over.
func (f *listFile) look(ctx context.Context, now time.Time) (*content, error) {
	type looked struct {
		lies lie
		read *content
	}
	path, open, lies := f.path, f.open, f.lies
	found, err := files.Within(ctx, path, func() (looked, error) {
		after, read, err := lies.look(open, path, now)
		return looked{after, read}, err
	})
	f.lies = found.lies // nothing after an error
	return found.read, err
}

// look returns how the file lies now, and its content if that has rested long enough,
// or has not rested for too long.
func (l lie) look(open func(string) (fs.File, fs.FileInfo, error), path string, now time.Time) (lie, *content, error) {
	file, info, err := open(path)
	if err != nil {
		return lie{}, nil, err
	}
	defer file.Close()
	if info.Size() > maxListFile {
		return lie{}, nil, errors.New("the file is larger than 16 MiB: use *@domain, or several files")
	}
	began := time.Now()
	l = l.see(info, now)
	rested, restless := now.Sub(l.since) >= listSettle, now.Sub(l.moving) >= listRestless
	if l.settled || !rested && !restless {
		return l, nil, nil
	}
	all, err := io.ReadAll(io.LimitReader(file, maxListFile))
	if err != nil {
		return lie{}, nil, err
	}
	after, err := file.Stat()
	if err != nil {
		return lie{}, nil, err
	}
	rested = rested && files.Same(info, after)
	now = now.Add(time.Since(began))
	l = l.see(after, now)
	switch {
	case rested:
		// Where times are kept in seconds, another change in the same one shows nowhere.
		l.settled = files.Changed(after).Nanosecond() > 0 || now.Sub(l.since) >= time.Second
		l.moving = time.Time{}
		return l, &content{text: string(all)}, nil
	case restless:
		l.moving = now
		return l, &content{string(all[:1+bytes.LastIndexByte(all, '\n')]), true}, nil
	}
	return l, nil, nil
}

// see notes how the file is found. One that was not seen before, as at a start, has
// rested since it was changed, unless that is said to be in the future.
func (l lie) see(info fs.FileInfo, now time.Time) lie {
	if files.Same(l.seen, info) {
		return l
	}
	since, moving := now, l.moving
	if changed := files.Changed(info); l.seen == nil && changed.Before(now) {
		since = changed
	}
	if moving.IsZero() {
		moving = now
	}
	return lie{seen: info, since: since, moving: moving}
}

// found takes over what a look brought that began at began and ended at now. It returns
// what is to be reported, if anything is, and whether what is in force has changed.
func (f *listFile) found(began, now time.Time, read *content, err error, knows func(string) bool) (e *ListEvent, changed bool) {
	lost := !f.lostAt.IsZero()
	switch {
	case err != nil && !lost:
		f.lostAt, f.problem = began, problem(err)
		return f.become(ListEvent{State: ListHeld, Problem: f.problem}), false
	case read == nil && lost && f.state != ListRefused && now.Sub(f.lostAt) >= listHold:
		return f.become(ListEvent{State: ListRefused, Problem: f.problem}), true
	case read == nil:
		return nil, false
	case !lost && f.state != ListRestless && !read.restless && sha256.Sum256([]byte(read.text)) == f.sum:
		return nil, false
	}
	known := f.state == ListRestless
	e = f.take(*read, parseList(read.text, knows))
	if known && e.State == ListRestless {
		return nil, true
	}
	return e, true
}

// become notes what is reported.
func (f *listFile) become(e ListEvent) *ListEvent {
	e.Path, f.state = f.path, e.State
	return &e
}

// take puts a reading in force.
func (f *listFile) take(read content, r reading) *ListEvent {
	f.lostAt, f.sum = time.Time{}, sha256.Sum256([]byte(read.text))
	before := f.lines
	f.inForce, f.lines = r.entries, r.lines
	e := ListEvent{State: ListGood, Entries: r.lines, BadLines: r.badLines, Bad: r.bad}
	switch {
	case r.badLines > 0:
		e.State = ListBadLines
	case read.restless:
		e.State = ListRestless
	default:
		f.lastGood = r.entries
		if r.lines == 0 && before > 0 {
			e.State, e.Entries = ListEmptied, before
		}
	}
	return f.become(e)
}

// problem is an error without the path, which every report names already.
func problem(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// BadLine is a line of a list that names nobody.
type BadLine struct {
	Line    int    // counted from 1
	Problem string // holds nothing of the line
}

// reading is the content of a list.
type reading struct {
	*entries
	lines    int // good ones
	badLines int
	bad      []BadLine // the first maxBadLines
}

// parseList reads a list: one address, *@domain or group's name on a line.
// From a # at the beginning of a line, or after a space (an address may have
// one in it), it is a comment.
func parseList(text string, knows func(group string) bool) reading {
	r := reading{entries: &entries{}}
	text = strings.TrimPrefix(text, "\ufeff") // written by some editors on Windows
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		entry := strings.Trim(cutComment(line), " \t\r")
		if entry == "" {
			continue
		}
		who, problem := parseListEntry(entry, knows)
		if problem == "" {
			r.lines++
			r.add(who)
			continue
		}
		r.badLines++
		if len(r.bad) < maxBadLines {
			r.bad = append(r.bad, BadLine{n, problem})
		}
	}
	return r
}

func cutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// parseListEntry returns the entry, or what is wrong with it.
func parseListEntry(entry string, knows func(group string) bool) (Who, string) {
	who, err := ParseWho(entry)
	var bad *WhoError
	switch {
	case errors.As(err, &bad):
		return Who{}, bad.Problem
	case who.kind == whoAny || who.kind == whoFile:
		return Who{}, "any and file: are written in the Caddyfile; a line of a list is an address, *@ and a domain, or a group's name"
	case who.kind == whoGroup && !knows(who.value):
		return Who{}, "no group is called that"
	}
	return who, ""
}
