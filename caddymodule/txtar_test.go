package caddymodule

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// txtar is a text archive: a comment, and files that each begin with a line
// "-- name --".
type txtar struct {
	comment []byte
	files   []txtarFile
}

type txtarFile struct{ name, data string }

var txtarName = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readTxtar(t *testing.T, path string) *txtar {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := txtarName.FindAllSubmatchIndex(data, -1)
	if len(marks) == 0 {
		t.Fatalf("%s holds no files", path)
	}
	archive := &txtar{comment: data[:marks[0][0]]}
	for i, mark := range marks {
		end := len(data)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		archive.files = append(archive.files, txtarFile{string(data[mark[2]:mark[3]]), string(data[mark[1]:end])})
	}
	return archive
}

func (a *txtar) write(t *testing.T, path string) {
	out := bytes.NewBuffer(bytes.Clone(a.comment))
	for _, f := range a.files {
		out.WriteString("-- " + f.name + " --\n" + f.data)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
