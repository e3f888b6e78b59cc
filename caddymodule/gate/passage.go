package gate

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// An answer may take hours: a download, server-sent events, a WebSocket. When the
// session ends meanwhile, so must the answer, and whoever handles it looks at nothing
// of ours.
//
// Before the handler runs, the passage is registered with the sessions (watch), which
// look at it every second and when a session ends (authcore/session/stream.go). The cut
// then comes from another goroutine (Cut): it cancels the request's context, for handlers
// that look at it, and ends the client's side, for those that only write (closeClient).
// HTTP/1 has a connection for each answer, which is closed; a stream of HTTP/2 is reset
// by a deadline in the past; elsewhere deadlines are set again until the handler returns.
// The writer belongs to net/http once the handler has returned, so that end waits for a
// cut under way. The handler is left by a panic with ErrAbortHandler: an answer that was
// cut must not look whole.

// passage is one request on its way through the app and back. It is the response
// writer that the app sees and the body that it reads (response.go). While the
// visitor has an identity the answer is watched: it is cut when the session ends
// or is no longer admitted.
type passage struct {
	http.ResponseWriter
	request     *http.Request
	visitor     visitor
	told        told // used where no gate came before
	body        requestBody
	wroteHeader bool

	house      *House
	core       *authcore.Core // nil: not watched
	stream     session.Stream
	connection *connection        // that the answer has for itself
	cancel     context.CancelFunc // where that or a reset does not end the handler's context
	cut        atomic.Bool
	// Made by the cut: returned is closed when the handler has, ending waits
	// for the goroutine that closes the client's side.
	returned chan struct{}
	ending   sync.WaitGroup
}

// pass hands the request on, with the visitor's identity if they are admitted.
func (q *request) pass() error {
	p := &passage{ResponseWriter: q.w, request: q.r, house: q.house}
	q.hideCookies(&p.visitor)
	q.nameHost()
	r := q.r
	if p.visitor.told == nil {
		p.visitor.told = &p.told
		q.house.server().Tell(r, p.told.answer)
	}
	if q.isNamed() {
		p.visitor.identity, p.visitor.told.identity = q.identity, q.identity
		q.identity.write(r.Header)
	}
	if q.admitted || q.home != nil {
		r = q.watch(p)
	}
	if r.Body != nil && r.Body != http.NoBody {
		p.body = requestBody{r.Body, q.r, q.house}
		r.Body = &p.body
	}
	if name := q.name(&p.visitor); name != "" {
		defer q.house.outings.Delete(name)
	}
	err := p.run(q.through(), r)
	p.dropOwnCookies()
	if p.cut.Load() {
		// Ending the answer as if it were whole would hide the cut.
		panic(http.ErrAbortHandler)
	}
	return err
}

// through is where a request that passes goes.
func (q *request) through() Handler {
	if !q.tokenHeader {
		return q.next
	}
	user := ""
	if q.identity != nil && q.session != nil {
		user = q.session.User()
	}
	return q.house.server().Quietly(q.next, user)
}

// watch registers the answer to be cut, and returns the request with a context
// that the cut cancels.
func (q *request) watch(p *passage) *http.Request {
	r := q.r
	p.core = q.run.Core
	if p.stream.Session, p.stream.Gate = q.session, q.place.Key; q.home != nil {
		p.stream.Session, p.stream.Client, p.stream.As = nil, q.client(), q.home.As
	}
	p.stream.Target = q.target()
	p.stream.Cutter = p
	if q.gate.ReportOnly {
		p.stream.Cutter = reportedCut{q.house}
	} else if p.connection = ownConnection(r); p.connection == nil && r.ProtoMajor != 2 {
		ctx, cancel := context.WithCancel(r.Context())
		r, p.cancel = r.WithContext(ctx), cancel
	}
	p.core.Sessions().Watch(&p.stream)
	return r
}

// reportedCut is the answer of a gate with report_only.
type reportedCut struct{ house *House }

// Cut implements session.Cutter.
func (c reportedCut) Cut() { c.house.count(cutStream, true) }

func (p *passage) run(next Handler, r *http.Request) error {
	defer p.end()
	err := next.ServeHTTP(p, r)
	p.visitor.ended = true
	return err
}

// end takes the answer out of the watch. The writer must not be touched once
// the handler has returned, so it waits for a cut under way.
func (p *passage) end() {
	if p.core == nil {
		return
	}
	p.core.Sessions().Unwatch(&p.stream)
	if p.cancel != nil {
		p.cancel()
	}
	if p.cut.Load() {
		close(p.returned)
		p.ending.Wait()
	}
}

// Cut implements session.Cutter. What reads from the app sees its context
// canceled, and the client's side is closed under whoever writes to it, since not
// every handler looks at the context.
func (p *passage) Cut() {
	p.house.count(cutStream, false)
	p.returned = make(chan struct{})
	p.cut.Store(true)
	switch {
	case p.connection != nil:
		p.connection.cancel()
	case p.cancel != nil:
		p.cancel()
	}
	p.ending.Go(p.closeClient)
}

// closeClient closes the answer's own connection, also one that was hijacked.
// On HTTP/2 a deadline in the past resets the stream, which cancels its context,
// for good. Elsewhere it fails the reads and writes under way, and those to come
// fail in Write; Caddy sets deadlines of its own while a handler reads and
// writes, so there that is repeated until it returns.
func (p *passage) closeClient() {
	if p.connection != nil {
		_ = p.connection.conn.Close()
		return
	}
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

// connection is a client's connection, on which HTTP/1 has one request at a
// time: ending it ends that request, and costs nothing until then.
type connection struct {
	conn   net.Conn
	cancel context.CancelFunc
}

type connectionKey struct{}

// ConnContext is for http.Server.ConnContext: requests then carry their
// connection, and need no context of their own to be cut.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	// No parent holds on to it: it goes with its connection.
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, connectionKey{}, &connection{conn, cancel})
}

// ownConnection is the connection that r has for itself, nil if it shares one
// or none is known.
func ownConnection(r *http.Request) *connection {
	if r.ProtoMajor != 1 {
		return nil
	}
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}
