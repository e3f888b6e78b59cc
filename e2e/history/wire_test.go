package history_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire is what a node, or a replica, reaches a server by, and can be cut.
type wire struct {
	addr string

	mu     sync.Mutex
	turned *sync.Cond
	target string
	how    passage
	ends   map[net.Conn]bool
}

// passage is what a wire does with what is sent.
type passage int

const (
	open   passage = iota
	shut           // connections end, and none is taken
	silent         // nothing comes through, until it does
)

func newWire(t testing.TB, target string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), target: target, ends: map[net.Conn]bool{}}
	w.turned = sync.NewCond(&w.mu)
	t.Cleanup(func() {
		l.Close()
		w.turn(shut)
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(client)
		}
	}()
	return w
}

func (w *wire) turn(how passage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.how = how
	if how == shut {
		w.end()
	}
	w.turned.Broadcast()
}

// to has the wire lead to another server.
func (w *wire) to(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
	w.end()
}

func (w *wire) end() {
	for c := range w.ends {
		c.Close()
	}
}

// take waits while nothing comes through, and then has c end with the wire, unless it
// is shut.
func (w *wire) take(c net.Conn) (target string, taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.how == silent {
		w.turned.Wait()
	}
	if taken = w.how == open; taken {
		w.ends[c] = true
	}
	return w.target, taken
}

func (w *wire) serve(client net.Conn) {
	defer client.Close()
	target, taken := w.take(client)
	if !taken {
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	if _, taken := w.take(server); !taken {
		return
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ends, client)
		delete(w.ends, server)
	}()
	var both sync.WaitGroup
	both.Go(func() { w.pass(server, client) })
	both.Go(func() { w.pass(client, server) })
	both.Wait()
}

// pass hands on what from says, late where it must be, as a network does.
func (w *wire) pass(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if _, taken := w.take(from); !taken {
			return
		}
		if _, wrote := to.Write(buffer[:n]); err != nil || wrote != nil {
			return
		}
	}
}

func hostOf(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
