package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// People edit a list with an editor, a deployment puts another in its place, a script
// appends to it; and a mistake must neither lock everybody out nor let anybody in. So a
// change counts only when the file was read whole and rested for a moment before and
// after (look). What follows:
//
//	good            in force, and kept as the last good one
//	bad lines       its good lines admit; to deny, the last good one counts as well
//	can't be read   what it held stays in force for a minute (listHold), then it
//	                admits nobody, and denies whom it denied
//	readable again  as new
//
// At the start of a configuration somebody is there to mend it: then each of these is
// an error (load). The file is opened at every look, because a lost permission changes
// nothing else about it.

const (
	// maxListFile bounds a list: half a million addresses.
	maxListFile = 16 << 20

	maxBadLines = 20
)

// listFile is one list and what was seen of it last.
type listFile struct {
	path string

	seen    fs.FileInfo // nil: never, or it could not be read
	seenAt  time.Time
	settled bool // what was seen has been taken over

	inForce  *entries // the good lines of the last reading
	lines    int      // how many these are
	lastGood *entries // the last reading without bad lines

	lostAt  time.Time // since when it can't be read; zero: it can
	problem string
	refused bool // for longer than listHold
}

// sides returns what is in force for either use of the list.
func (f *listFile) sides() listSides {
	s := listSides{allow: []*entries{f.inForce}, deny: []*entries{f.inForce}}
	if f.refused {
		s.allow = nil
	}
	if f.inForce != f.lastGood {
		s.deny = append(s.deny, f.lastGood)
	}
	return s
}

// load reads the list at the start of a configuration. Errors name it as called.
func (f *listFile) load(called string, knows func(string) bool) error {
	text, info, err := f.read()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %s; make it before the start, with one address, *@domain or group on a line", called, problem(err))
	}
	if err != nil {
		return fmt.Errorf("%s: %s; have it be a file that whoever runs Caddy can read", called, problem(err))
	}
	r := parseList(text, knows)
	if len(r.bad) > 0 {
		return fmt.Errorf("%s, line %d: %s (%d such lines in all)", called, r.bad[0].Line, r.bad[0].Problem, r.badLines)
	}
	f.seen, f.settled = info, true
	f.inForce, f.lastGood, f.lines = r.entries, r.entries, r.lines
	return nil
}

func (f *listFile) read() (text string, info fs.FileInfo, err error) {
	file, info, err := openList(f.path)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	all, err := io.ReadAll(io.LimitReader(file, maxListFile))
	return string(all), info, err
}

// poll looks once and returns what happened.
func (f *listFile) poll(now time.Time, knows func(string) bool) []ListEvent {
	text, ready, err := f.look(now)
	switch {
	case err != nil && f.lostAt.IsZero():
		f.seen, f.lostAt, f.problem = nil, now, problem(err)
		return []ListEvent{{Path: f.path, State: ListHeld, Problem: f.problem}}
	case ready:
		return []ListEvent{f.take(parseList(text, knows))}
	}
	if !f.lostAt.IsZero() && !f.refused && now.Sub(f.lostAt) >= listHold {
		f.refused = true
		return []ListEvent{{Path: f.path, State: ListRefused, Problem: f.problem}}
	}
	return nil
}

// look returns the content if it is new, whole and has rested long enough. It
// opens the file every time: a lost permission changes nothing else about it.
func (f *listFile) look(now time.Time) (text string, ready bool, err error) {
	file, info, err := openList(f.path)
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	if !sameContent(f.seen, info) {
		f.seen, f.seenAt, f.settled = info, now, false
		return "", false, nil
	}
	if f.settled || now.Sub(f.seenAt) < listSettle {
		return "", false, nil
	}
	read, err := io.ReadAll(io.LimitReader(file, maxListFile))
	if err != nil {
		return "", false, err
	}
	after, err := file.Stat()
	if err != nil || !sameContent(info, after) {
		f.seen = nil // written to while it was read
		return "", false, err
	}
	return string(read), true, nil
}

// take puts a reading in force.
func (f *listFile) take(r reading) ListEvent {
	f.settled, f.lostAt, f.refused = true, time.Time{}, false
	before := f.lines
	f.inForce, f.lines = r.entries, r.lines
	e := ListEvent{Path: f.path, State: ListBadLines, Entries: r.lines, BadLines: r.badLines, Bad: r.bad}
	if r.badLines > 0 {
		return e
	}
	f.lastGood = r.entries
	e.State = ListGood
	if r.lines == 0 && before > 0 {
		e.State, e.Entries = ListEmptied, before
	}
	return e
}

// openList opens a file of bearable size.
func openList(path string) (*os.File, fs.FileInfo, error) {
	file, info, err := files.Open(path)
	if err == nil && info.Size() > maxListFile {
		file.Close()
		err = errors.New("the file is larger than 16 MiB: use *@domain, or several files")
	}
	return file, info, err
}

func sameContent(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
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
