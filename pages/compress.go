package pages

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
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

// compress makes a gzip stream of a page.
func compress(body []byte) []byte {
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

// staticFile is served as it is, to everybody.
type staticFile struct {
	contentType string
	plain       []byte
	zipped      []byte // as small as can be; nil if it gets no smaller
}

func newFile(contentType string, content []byte) staticFile {
	zipped := zip(newZipper(gzip.BestCompression), content)
	if len(zipped) >= len(content) {
		zipped = nil
	}
	return staticFile{contentType, content, zipped}
}

// acceptsGzip reads Accept-Encoding. "gzip;q=0" is a no; "*" alone is none of
// a browser's.
func acceptsGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(coding, ";")
			if strings.EqualFold(trim(name), "gzip") {
				q, found := strings.CutPrefix(strings.ToLower(trim(quality)), "q=")
				weight, err := strconv.ParseFloat(trim(q), 64)
				return !found || err == nil && weight > 0
			}
		}
	}
	return false
}
