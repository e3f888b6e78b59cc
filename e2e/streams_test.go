package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// openSocket opens a WebSocket as v and shows that it works.
func (s *server) openSocket(v *visitor) *wire {
	s.Helper()
	w := s.wire()
	w.request("GET /socket", "localhost:"+s.port, "Cookie: gatehouse="+v.cookie("gatehouse"), "Origin: "+s.url,
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	if status, _ := readHeader(s, w.r); !strings.Contains(status, "101") {
		s.Fatalf("opening a WebSocket: %s", status)
	}
	_, _ = io.WriteString(w, "hello\n")
	if line, err := w.r.ReadString('\n'); line != "echo hello\n" {
		s.Fatalf("through the WebSocket came %q, %v", line, err)
	}
	s.Cleanup(func() { s.waitForEnd(w) })
	return w
}

// waitForEnd closes a connection and waits until Caddy has let go of it: Caddy
// writes to sockets that are open when it stops without regard to who else does,
// and the race detector sees it.
func (s *server) waitForEnd(w *wire) {
	s.Helper()
	_, port, _ := net.SplitHostPort(w.LocalAddr().String())
	_ = w.Close()
	within(s, patience, "Caddy lets go of a WebSocket", func() bool {
		for line := range strings.Lines(logs.since(s.from)) {
			if strings.Contains(line, `"handled request"`) && strings.Contains(line, `"remote_port":"`+port+`"`) {
				return true
			}
		}
		return false
	})
}

// openEvents opens an event stream as v and reads the first event.
func (s *server) openEvents(v *visitor) *wire {
	s.Helper()
	w := s.wire()
	w.request("GET /events", "localhost:"+s.port, "Cookie: gatehouse="+v.cookie("gatehouse"), "Accept: text/event-stream")
	readHeader(s, w.r)
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			s.Fatalf("reading the first event: %v", err)
		}
		if strings.HasPrefix(line, "data: hello ") {
			return w
		}
	}
}

// A stream ends with the session that it was opened under.
func TestStreamsAreCutAtSignOut(t *testing.T) {
	s := start(t, plan{site: "gatehouse any\nreverse_proxy APP"})
	alice, bob := s.visitor(), s.visitor()
	alice.signIn(person("alice"))
	bob.signIn(person("bob"))
	hers := []*wire{s.openSocket(alice), s.openEvents(alice)}
	his := s.openSocket(bob)
	alice.post("/_gatehouse/logout").must(t, http.StatusSeeOther)
	for _, w := range hers {
		w.closed()
	}
	_, _ = io.WriteString(his, "still here\n")
	if line, err := his.r.ReadString('\n'); line != "echo still here\n" {
		t.Errorf("somebody else's stream was cut too: %q, %v", line, err)
	}
}

// Who is taken off the list loses streams that are open, not only new requests.
func TestStreamsAreCutByPolicy(t *testing.T) {
	alice, bob := person("alice"), person("bob")
	s := start(t, plan{
		global: "group staff " + alice + " " + bob,
		site:   "gatehouse staff\nreverse_proxy APP {\n stream_close_delay 1m\n}",
	})
	hers, his := s.visitor(), s.visitor()
	hers.signIn(alice)
	his.signIn(bob)
	socket, events, other := s.openSocket(hers), s.openEvents(hers), s.openSocket(his)
	s.load(plan{
		global: "group staff " + bob,
		site:   "gatehouse staff\nreverse_proxy APP {\n stream_close_delay 1m\n}",
	})
	socket.closed()
	events.closed()
	hers.get("/").must(t, http.StatusForbidden)
	_, _ = io.WriteString(other, "still here\n")
	if line, err := other.r.ReadString('\n'); line != "echo still here\n" {
		t.Errorf("somebody else's stream was cut too: %q, %v", line, err)
	}
}

// A page of another site can open a WebSocket here with the visitor's cookies;
// browsers say so in Origin.
func TestWebSocketFromAnotherSite(t *testing.T) {
	s := start(t, plan{})
	v := s.visitor()
	v.signIn(person("alice"))
	for origin, want := range map[string]int{"https://evil.example": 403, "http://localhost.evil.example": 403, "null": 403} {
		w := s.wire()
		w.request("GET /socket", "localhost:"+s.port, "Cookie: gatehouse="+v.cookie("gatehouse"), "Origin: "+origin,
			"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
		w.answer().must(t, want)
	}
	w := s.wire()
	w.request("GET /socket", "localhost:"+s.port, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
	w.answer().must(t, http.StatusUnauthorized)
}

// stream is an answer that goes on.
type stream struct {
	body *bufio.Reader
}

func (v *visitor) stream(address string) *stream {
	v.Helper()
	return v.streamWith(address, "Accept", "text/event-stream")
}

func (v *visitor) streamWith(address, header, value string) *stream {
	v.Helper()
	r, err := http.NewRequestWithContext(v.Context(), http.MethodGet, address, nil)
	if err != nil {
		v.Fatal(err)
	}
	r.Header.Set(header, value)
	client := *v.client
	client.Timeout = 0
	response, err := client.Do(r)
	if err != nil {
		v.Fatal(err)
	}
	v.Cleanup(func() { _ = response.Body.Close() })
	st := &stream{bufio.NewReader(response.Body)}
	if line, err := st.body.ReadString('\n'); !strings.HasPrefix(line, "data: hello") {
		v.Fatalf("the stream begins with %q, %v", line, err)
	}
	return st
}

// socket opens a WebSocket at the visitor's site.
func (v *visitor) socket() *wire {
	v.Helper()
	u := mustURL(v.base)
	w := (&server{TB: v.TB, port: u.Port()}).wire()
	w.request("GET /socket", u.Host, v.cookies(), "Origin: "+v.base, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
	if status, _ := readHeader(v, w.r); !strings.Contains(status, " 101") {
		v.Fatalf("the socket: %s", status)
	}
	return w
}

// ends waits until nothing more can come.
func (st *stream) ends(t testing.TB) {
	t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			if _, err := st.body.ReadByte(); err != nil {
				return
			}
		}
	}()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("the stream goes on")
	}
}
