package caddymodule

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// passage is one request on its way through the app and back. It is the
// response writer that the app sees (response.go) and the body that it reads
// (trailers.go). While the visitor has an identity the answer is watched: it is
// cut when the session ends or is no longer admitted.
type passage struct {
	http.ResponseWriter
	request     *http.Request
	visitor     visitor
	body        requestBody
	wroteHeader bool

	core   *authcore.Core // nil: not watched
	stream authcore.Stream
	cancel context.CancelFunc
	cut    atomic.Bool
	// Made by the cut: returned is closed when the handler has, ending waits
	// for the goroutine that closes the client's side.
	returned chan struct{}
	ending   sync.WaitGroup

	mu       sync.Mutex
	hijacked net.Conn
}

// pass hands the request on, with the visitor's identity if there is one to
// tell.
func (v *visit) pass(admitted bool) error {
	p := &passage{ResponseWriter: v.w, request: v.r}
	v.hideCookies(&p.visitor)
	r := v.r
	if admitted {
		v.identity.write(r.Header)
		if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && !p.visitor.told {
			replacer.Map(v.identity.placeholders)
			p.visitor.told = true
		}
		r = v.watch(p)
	}
	if r.Body != nil && r.Body != http.NoBody {
		p.body = requestBody{r.Body, v.r}
		r.Body = &p.body
	}
	err := p.run(func() error { return v.next.ServeHTTP(p, r) })
	p.dropOwnCookies()
	if p.cut.Load() {
		// Ending the answer as if it were whole would hide the cut.
		panic(http.ErrAbortHandler)
	}
	return err
}

// watch registers the answer to be cut, and returns the request with a context
// that the cut cancels.
func (v *visit) watch(p *passage) *http.Request {
	ctx, cancel := context.WithCancel(v.r.Context())
	p.core, p.cancel = v.run.core, cancel
	p.stream.Session, p.stream.Gate = v.session, v.place.key
	p.stream.Origin, p.stream.Path = v.origin, v.url.Path
	p.stream.Cut = p.cutOff
	if v.g.ReportOnly {
		p.stream.Cut = func() { countRefusal(cutStream, true) }
	}
	p.core.Watch(&p.stream)
	return v.r.WithContext(ctx)
}

func (p *passage) run(next func() error) error {
	defer p.end()
	return next()
}

// end takes the answer out of the watch. The writer must not be touched once
// the handler has returned, so it waits for a cut under way.
func (p *passage) end() {
	if p.core == nil {
		return
	}
	p.core.Unwatch(&p.stream)
	p.cancel()
	if p.cut.Load() {
		close(p.returned)
		p.ending.Wait()
	}
}

// cutOff ends the answer: what reads from the app sees its context canceled,
// and the client's side is closed under whoever writes to it, since not every
// handler looks at the context. It does not block.
func (p *passage) cutOff() {
	countRefusal(cutStream, false)
	p.returned = make(chan struct{})
	p.cut.Store(true)
	p.cancel()
	p.ending.Go(p.closeClient)
}

// closeClient fails the reads and writes under way with a deadline in the past;
// those to come fail in Write. Caddy sets deadlines of its own while a handler
// reads and writes, so that is repeated until it returns. On HTTP/2 one resets
// the stream for good.
func (p *passage) closeClient() {
	p.mu.Lock()
	if p.hijacked != nil {
		_ = p.hijacked.Close()
	}
	p.mu.Unlock()
	past := time.Unix(1, 0)
	for {
		_ = http.NewResponseController(p.ResponseWriter).SetReadDeadline(past)
		// Caddy's writer for idle timeouts is not made for two goroutines.
		_ = http.NewResponseController(innermost(p.ResponseWriter)).SetWriteDeadline(past)
		if p.request.ProtoMajor == 2 {
			return
		}
		select {
		case <-p.returned:
			return
		case <-time.After(closeAgain):
		}
	}
}

const closeAgain = 100 * time.Millisecond

func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = outer.Unwrap()
	}
}
