package gate

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// ErrCut is what a handler gets that goes on writing to an answer that was cut.
var ErrCut = errors.New("the session of this answer has ended")

// WriteHeader implements http.ResponseWriter. It is called again for each
// informational answer (103), and each may bring cookies.
func (p *passage) WriteHeader(status int) {
	p.dropOwnCookies()
	if status >= 200 || status == http.StatusSwitchingProtocols {
		p.wroteHeader = true
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (p *passage) Write(b []byte) (int, error) {
	if err := p.beforeBody(); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// ReadFrom implements io.ReaderFrom, so that files go out by sendfile, which is
// known to HTTP/1 alone.
func (p *passage) ReadFrom(src io.Reader) (int64, error) {
	if err := p.beforeBody(); err != nil {
		return 0, err
	}
	if to, ok := p.ResponseWriter.(io.ReaderFrom); ok && p.request.ProtoMajor == 1 {
		return to.ReadFrom(src)
	}
	return io.Copy(writerOnly{p}, src)
}

type writerOnly struct{ io.Writer }

// FlushError is what http.ResponseController calls.
func (p *passage) FlushError() error {
	if err := p.beforeBody(); err != nil {
		return err
	}
	return http.NewResponseController(p.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (p *passage) Flush() { _ = p.FlushError() }

// beforeBody does what the first byte of the body implies.
func (p *passage) beforeBody() error {
	if p.cut.Load() {
		return ErrCut
	}
	if !p.wroteHeader {
		p.wroteHeader = true
		p.dropOwnCookies()
	}
	return nil
}

// Hijack implements http.Hijacker.
func (p *passage) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if p.cut.Load() {
		return nil, nil, ErrCut
	}
	return http.NewResponseController(p.ResponseWriter).Hijack()
}

// Push implements http.Pusher.
func (p *passage) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := p.ResponseWriter.(http.Pusher); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// Unwrap lets http.ResponseController reach deadlines and full duplex.
func (p *passage) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// dropOwnCookies keeps the app from setting cookies of ours: it could sign its
// visitors in as somebody else. They may stand in headers and in trailers,
// announced or not.
func (p *passage) dropOwnCookies() {
	if p.visitor.ours {
		return
	}
	h, own := p.Header(), p.house
	for _, name := range [...]string{"Set-Cookie", http.TrailerPrefix + "Set-Cookie"} {
		lines := h[name]
		if !slices.ContainsFunc(lines, own.setsOwn) {
			continue
		}
		// A copy: the slice may be the app's own.
		lines = slices.DeleteFunc(slices.Clone(lines), own.setsOwn)
		if len(lines) == 0 {
			delete(h, name)
		} else {
			h[name] = lines
		}
	}
}

// setsOwn tells whether a browser could store the line of a Set-Cookie
// header as one of our cookies. Some store "=name=value" under no name and send
// it back as "name=value".
func (h *House) setsOwn(line string) bool {
	line = strings.TrimLeftFunc(line, func(c rune) bool { return c <= ' ' || c == '=' })
	if end := strings.IndexAny(line, "=;"); end >= 0 {
		line = line[:end]
	}
	return h.Cookies.IsOwn(strings.TrimRightFunc(line, func(c rune) bool { return c <= ' ' }))
}

// requestBody is the body of a request that passes. Trailers arrive with its
// end, when the handler has long run: with any trailer announced, a client could
// send Remote-Email there, and proxies copy trailers as they find them at EOF.
type requestBody struct {
	io.ReadCloser
	request *http.Request
	house   *House
}

// Read implements io.Reader. net/http fills in the trailers before it returns
// io.EOF.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		header.CleanTrailer(b.request.Trailer, b.house.fields)
	}
	return n, err
}
