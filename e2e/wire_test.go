package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire is a connection to the server on which a test writes what it likes.
type wire struct {
	testing.TB
	net.Conn
	r *bufio.Reader
}

func (s *server) wire() *wire {
	s.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	s.Cleanup(func() { _ = conn.Close() })
	return &wire{s, conn, bufio.NewReader(conn)}
}

// request writes a request line and header lines; the Host is added.
func (w *wire) request(line string, host string, header ...string) {
	w.Helper()
	text := line + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(header, "\r\n")
	if _, err := io.WriteString(w, strings.TrimRight(text, "\r\n")+"\r\n\r\n"); err != nil {
		w.Fatal(err)
	}
}

// answer reads one answer to its end.
func (w *wire) answer() *answer {
	w.Helper()
	response, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.Fatalf("reading the answer: %v", err)
	}
	response.Request = &http.Request{Method: "raw"}
	response.Request.URL = mustURL("/")
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatalf("reading the answer: %v", err)
	}
	return &answer{response, string(body)}
}

// finish says that nothing more will come, and waits until the other side is
// through, two seconds at most.
func (w *wire) finish() {
	_ = w.SetDeadline(time.Now().Add(2 * time.Second))
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, w.r)
	_ = w.Close()
}

// closed waits until the other side has closed the connection, and returns what
// came before.
func (w *wire) closed() string {
	w.Helper()
	rest, err := io.ReadAll(w.r)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		w.Fatal("the connection was not closed")
	}
	return string(rest)
}

// chunked is a body in one chunk, with trailers after it.
func chunked(body string, trailers ...string) string {
	return fmt.Sprintf("%x\r\n%s\r\n0\r\n%s\r\n\r\n", len(body), body, strings.Join(trailers, "\r\n"))
}
