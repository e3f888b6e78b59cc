package e2e

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
