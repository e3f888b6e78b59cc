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
	visitor     visitor
	body        requestBody
	wroteHeader bool

	core   *authcore.Core // nil: not watched
	stream authcore.Stream
	cancel context.CancelFunc
	cut    atomic.Bool
	ending sync.WaitGroup

	mu   sync.Mutex
	conn net.Conn // after a hijack
}

// pass hands the request on, with the visitor's identity if there is one to
// tell.
func (v *visit) pass(admitted bool) error {
	p := &passage{ResponseWriter: v.w}
	v.hideCookies(&p.visitor)
	r := v.r
	if admitted {
		v.identity.write(r.Header)
		if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok && v.outer == nil {
			replacer.Map(v.identity.placeholders)
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
	p.ending.Wait()
	p.cancel()
}

// cutOff ends the answer: what reads from the app sees its context canceled,
// and the client's side is closed under whoever writes to it, since not every
// handler looks at the context. It does not block.
func (p *passage) cutOff() {
	countRefusal(cutStream, false)
	p.cut.Store(true)
	p.cancel()
	p.ending.Go(p.closeClient)
}

func (p *passage) closeClient() {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
		return
	}
	// A deadline in the past fails reads and writes under way and to come; on
	// HTTP/2 it resets the stream. Writers that know no deadlines end with the
	// context.
	control := http.NewResponseController(p.ResponseWriter)
	past := time.Unix(1, 0)
	_ = control.SetReadDeadline(past)
	_ = control.SetWriteDeadline(past)
}
