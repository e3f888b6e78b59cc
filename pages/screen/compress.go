package screen

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// zippers compress pages. Better levels clear half a megabyte before each page,
// which takes them longer than the page itself, and make it smaller by a
// fifteenth.
var zippers = sync.Pool{New: func() any { return newZipper(gzip.BestSpeed) }}

func newZipper(level int) *gzip.Writer {
	w, _ := gzip.NewWriterLevel(nil, level) // errs only for unknown levels
	return w
}

// Compress makes a gzip stream of a page.
func Compress(body []byte) []byte {
	w := zippers.Get().(*gzip.Writer)
	defer zippers.Put(w)
	return zip(w, body)
}

func zip(w *gzip.Writer, body []byte) []byte {
	out := bytes.NewBuffer(make([]byte, 0, 512+len(body)/2))
	w.Reset(out)
	_, _ = w.Write(body) // a bytes.Buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// StaticFile is served as it is, to everybody.
type StaticFile struct {
	ContentType string
	Plain       []byte
	Zipped      []byte // as small as can be; nil if it gets no smaller
}

func newFile(contentType string, content []byte) StaticFile {
	zipped := zip(newZipper(gzip.BestCompression), content)
	if len(zipped) >= len(content) {
		zipped = nil
	}
	return StaticFile{contentType, content, zipped}
}
