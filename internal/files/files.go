// Package files reads what a configuration names on this machine: pictures, pages,
// lists, certificates, secrets. Only regular files are read, as a pipe or a terminal
// would hold a start up without end; no more of them than the caller says; and nobody
// waits for one longer than for patience, as the network that a file is on may be gone
// (Within). A call that the machine doesn't answer stays behind, and others are made
// more and more seldom.
//
//	content, err := files.Read(path, 1<<20)
//	same := files.Same(before, now)
//
// The package knows no configuration. State of the process: which files are being
// asked for.
package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

var (
	errKind = errors.New("this is not a regular file")
	errDir  = errors.New("this is a directory, not a regular file")

	// ErrSilent is of a file that was not read within patience.
	ErrSilent = fmt.Errorf("the file does not answer: it was not read within %d s; see whether the disk or network that it is on works", patience/time.Second)
)

const (
	// patience is how long somebody waits for a file: a disk that has to spin up, and no
	// mount that is gone.
	patience = 3 * time.Second
	// pause is the longest between two calls for a file that does not answer. What was
	// mounted anew answers, but not to who had asked before: so it is asked again, first
	// after two and a half times patience, then after about twice as long each time.
	pause = 5 * time.Minute
	// mostBehind bounds the calls that stay behind for one file: each is a thread.
	mostBehind = 64
)

// asked are the files that are being asked for.
var asked = struct {
	sync.Mutex
	paths map[string]*calls
}{paths: map[string]*calls{}}

// calls are those for one file that are not over.
type calls struct {
	n     int
	began time.Time     // the newest
	over  chan struct{} // closed when the newest is
}

// begin has the caller ask for the file at path; over is to be closed by end. If another
// does already, before is closed once that is over, and after next it counts as lost.
func begin(path string) (over, before chan struct{}, next time.Duration) {
	asked.Lock()
	defer asked.Unlock()
	c := asked.paths[path]
	if c == nil {
		c = &calls{}
		asked.paths[path] = c
	}
	if c.n > 0 {
		if next = time.Until(c.began.Add(min(patience<<min(c.n, 10)+patience/2, pause))); next > 0 || c.n == mostBehind {
			return nil, c.over, max(next, patience)
		}
	}
	c.n++
	c.began, c.over = time.Now(), make(chan struct{})
	return c.over, nil, 0
}

func end(path string, over chan struct{}) {
	asked.Lock()
	defer asked.Unlock()
	if c := asked.paths[path]; c.n > 1 {
		c.n--
		c.began = time.Time{} // the file answers: the next one need not wait
	} else {
		delete(asked.paths, path)
	}
	close(over)
}

// Within returns what do makes of the file at path, or an error when ctx ends or
// patience does. do then goes on by itself: it must touch nothing but its own. Others
// for this path wait until it is over, or counts as lost.
func Within[T any](ctx context.Context, path string, do func() (T, error)) (T, error) {
	type result struct {
		of  T
		err error
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrSilent)
	defer cancel()
	over, before, next := begin(path)
	for over == nil {
		again := time.NewTimer(next)
		select {
		case <-before:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return result{}.of, context.Cause(ctx)
		}
		again.Stop()
		over, before, next = begin(path)
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.of, r.err = do()
		end(path, over)
		done <- r
	}()
	select {
	case r := <-done:
		return r.of, r.err
	case <-ctx.Done():
		return result{}.of, context.Cause(ctx)
	}
}

// Open opens a regular file. It may wait without end: call it in Within.
func Open(path string) (fs.File, fs.FileInfo, error) {
	if err := regular(os.Stat(path)); err != nil { // before it is opened, which a pipe does not let happen
		return nil, nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err = regular(info, err); err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func regular(info fs.FileInfo, err error) error {
	var found *fs.PathError
	switch {
	case errors.As(err, &found):
		found.Op = "open" // what was meant
	case err == nil && info.IsDir():
		return errDir
	case err == nil && !info.Mode().IsRegular():
		return errKind
	}
	return err
}

// Stat tells of a file without opening it.
func Stat(path string) (fs.FileInfo, error) {
	return Within(context.Background(), path, func() (fs.FileInfo, error) { return os.Stat(path) })
}

// Read reads a regular file of at most most bytes.
func Read(path string, most int64) ([]byte, error) {
	return Within(context.Background(), path, func() ([]byte, error) {
		file, info, err := Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		if info.Size() > most {
			return nil, tooBig(most)
		}
		return Whole(file, most)
	})
}

// Whole reads all of from, which may have at most most bytes.
func Whole(from io.Reader, most int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(content)) > most {
		return nil, tooBig(most)
	}
	return content, err
}

func tooBig(most int64) error { return fmt.Errorf("the file has more than %d KiB", most>>10) }

// Same tells whether two looks found the same file, unchanged. Size and time of the
// content alone don't tell: whoever copies or unpacks a file sets its time back.
func Same(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && Changed(a).Equal(Changed(b))
}

// Dir is a directory of regular files, each of at most most bytes, and directories.
// Each is read when it is opened.
func Dir(path string, most int64) fs.FS { return directory{path, most} }

type directory struct {
	path string
	most int64
}

func (d directory) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	path := filepath.Join(d.path, filepath.FromSlash(name))
	file, err := Within(context.Background(), path, func() (*opened, error) { return d.open(path) })
	if err == nil {
		return file, nil
	}
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err // named as the directory names it
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: err}
}

func (d directory) open(path string) (*opened, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		entries, err := os.ReadDir(path)
		return &opened{info: info, entries: entries}, err
	}
	file, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := Whole(file, d.most)
	return &opened{info: info, content: bytes.NewReader(content)}, err
}

// opened is a file or directory as it was when it was opened.
type opened struct {
	info    fs.FileInfo
	content *bytes.Reader // nil of a directory
	entries []fs.DirEntry // that are not told yet
}

func (o *opened) Stat() (fs.FileInfo, error) { return o.info, nil }
func (o *opened) Close() error               { return nil }

func (o *opened) Read(b []byte) (int, error) {
	if o.content == nil {
		return 0, errDir
	}
	return o.content.Read(b)
}

func (o *opened) ReadDir(n int) ([]fs.DirEntry, error) {
	all := o.entries
	if n > 0 && len(all) == 0 {
		return nil, io.EOF
	}
	if n > 0 && n < len(all) {
		all = all[:n]
	}
	o.entries = o.entries[len(all):]
	return all, nil
}
