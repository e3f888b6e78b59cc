package pages

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// fixedPart is a piece of every page that never changes. It is compressed once,
// as small as can be.
type fixedPart struct {
	plain    []byte
	deflated []byte // ends on a whole byte, and more may follow
}

func newFixedPart(text string) fixedPart {
	var out bytes.Buffer
	w := best.Get().(*flate.Writer)
	defer best.Put(w)
	w.Reset(&out)
	_, _ = w.Write([]byte(text)) // a bytes.Buffer takes everything
	_ = w.Flush()
	return fixedPart{[]byte(text), out.Bytes()}
}

// gzipHeader is what a gzip stream begins with that tells of no file (RFC 1952).
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// quick compresses what differs from page to page. Better levels clear half a
// megabyte before each page, which takes them longer than the page itself, and
// make it smaller by a twentieth. The account page alone is so long that this
// counts, and it is opened once where others are opened a hundred times.
var quick, thorough, best = deflaters(flate.BestSpeed), deflaters(flate.DefaultCompression), deflaters(flate.BestCompression)

const long = 6 << 10 // bytes

func deflaters(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		w, _ := flate.NewWriter(nil, level) // errs only for unknown levels
		return w
	}}
}

// compress makes a gzip stream of a page. If fixed is in it, its compressed form
// stands in its place: a stream may be put together from pieces of which none
// looks back into another.
func compress(body []byte, fixed fixedPart) []byte {
	if len(body) > long {
		return compressWith(thorough, body, fixed)
	}
	return compressWith(quick, body, fixed)
}

func compressWith(pool *sync.Pool, body []byte, fixed fixedPart) []byte {
	out := bytes.NewBuffer(make([]byte, 0, 512+len(body)/2))
	out.WriteString(gzipHeader)
	w := pool.Get().(*flate.Writer)
	defer pool.Put(w)
	rest := body
	if before, after, found := bytes.Cut(body, fixed.plain); found && len(fixed.plain) > 0 {
		if len(before) > 0 {
			w.Reset(out)
			_, _ = w.Write(before)
			_ = w.Flush()
		}
		out.Write(fixed.deflated)
		rest = after
	}
	w.Reset(out)
	_, _ = w.Write(rest)
	_ = w.Close()
	end := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(body))
	out.Write(binary.LittleEndian.AppendUint32(end, uint32(len(body))))
	return out.Bytes()
}

// staticFile is served as it is, to everybody.
type staticFile struct {
	contentType string
	plain       []byte
	zipped      []byte // nil if it gets no smaller
}

func newFile(contentType string, content []byte) staticFile {
	zipped := compressWith(best, content, fixedPart{})
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
