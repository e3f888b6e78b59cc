package screen

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// unzip reads a whole gzip stream; nothing may follow it.
func unzip(t *testing.T, data []byte) []byte {
	t.Helper()
	from := bytes.NewReader(data)
	r, err := gzip.NewReader(from)
	check(t, err)
	r.Multistream(false)
	plain, err := io.ReadAll(r)
	check(t, err)
	if from.Len() > 0 {
		t.Errorf("%d bytes after the stream", from.Len())
	}
	return plain
}

// TestFilesAreCompressedOnce: and a picture, which gets no smaller, not at all.
func TestFilesAreCompressedOnce(t *testing.T) {
	text := bytes.Repeat([]byte("let it = be\n"), 100)
	if f := newFile(javascript, text); !bytes.Equal(unzip(t, f.Zipped), text) {
		t.Error("a script does not come back")
	}
	if f := newFile("image/png", []byte{1, 2, 3}); f.Zipped != nil {
		t.Error("a file that gets no smaller is sent as a larger one")
	}
}
