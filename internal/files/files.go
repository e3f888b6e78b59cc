// Package files reads what a configuration names on this machine: pictures, pages,
// lists, certificates. Open, Read and Dir take regular files alone, as a pipe or
// a terminal would hold the start up without end; Read takes no more than it is
// told. The package knows no configuration, and keeps no state.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

var (
	errKind = errors.New("this is not a regular file")
	errDir  = errors.New("this is a directory, not a regular file")
)

// Open opens a regular file.
func Open(path string) (*os.File, fs.FileInfo, error) {
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

// Read reads a regular file of at most most bytes.
func Read(path string, most int64) ([]byte, error) {
	file, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Whole(file, most)
}

// Whole reads all of from, which may have at most most bytes.
func Whole(from io.Reader, most int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(content)) > most {
		return nil, fmt.Errorf("the file has more than %d KiB", most>>10)
	}
	return content, err
}

// Dir is a directory of regular files and directories.
func Dir(path string) fs.FS { return directory{os.DirFS(path)} }

type directory struct{ all fs.FS }

func (d directory) Open(name string) (fs.File, error) {
	if info, err := fs.Stat(d.all, name); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errKind}
	}
	return d.all.Open(name)
}
