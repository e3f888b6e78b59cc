package e2e

import (
	"bufio"
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
)

// upstream is the app behind the gate. It shows what it was sent: to browsers
// as a page, to others as JSON.
type upstream struct {
	addr string
	mu   sync.Mutex
	seen []seen
}

// seen is one request as the app got it.
type seen struct {
	Method, URI, Host string
	Header, Trailer   http.Header
	Body              string
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String()}
	server := &http.Server{Handler: u}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { _ = server.Close(); done.Wait() })
	return u
}

// requests is what was seen so far, and forgets it.
func (u *upstream) requests() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.seen
	u.seen = nil
	return all
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s := seen{r.Method, r.RequestURI, r.Host, r.Header, r.Trailer, string(body)}
	u.mu.Lock()
	u.seen = append(u.seen, s)
	u.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		serveEvents(w, r)
	case strings.HasSuffix(r.URL.Path, "/socket"):
		serveSocket(w, r)
	case strings.HasSuffix(r.URL.Path, "/spa"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>SPA</title><script src=/_gatehouse/client.js></script><p id=who>single page</p>")
	case strings.HasSuffix(r.URL.Path, "/cookies"):
		serveCookies(w)
	case strings.HasSuffix(r.URL.Path, "/worker.js"):
		serveWorker(w, r.URL.Query().Get("answers"))
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><title>App</title><h1>App</h1><p id=who>%s</p><p id=uri>%s</p>"+
			"<a id=out href=/_gatehouse/logout>Sign out</a>", r.Header.Get("Remote-User"), r.RequestURI)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s)
	}
}

// serveEvents sends an event and waits until the other side goes.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: hello %s\n\n", r.Header.Get("Remote-User"))
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// serveSocket switches to whatever protocol is asked for, and echoes lines.
func serveSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" && r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	// RFC 6455 section 4.2.2; HAProxy looks whether the server means it.
	accept := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	protocol, _, _ := strings.Cut(r.Header.Get("Upgrade"), ",")
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n", cmp.Or(protocol, "websocket"), base64.StdEncoding.EncodeToString(accept[:]))
	_ = rw.Flush()
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprint(rw, "echo ", line)
		_ = rw.Flush()
	}
}

// serveCookies tries to set cookies of the gate in every place there is.
func serveCookies(w http.ResponseWriter) {
	h := w.Header()
	h.Add("Set-Cookie", "early=1; Path=/")
	h.Add("Set-Cookie", "gatehouse=early; Path=/")
	w.WriteHeader(http.StatusEarlyHints)
	h.Del("Set-Cookie")
	for _, name := range []string{"gatehouse", "gatehouse-flow", "gatehouse-device", "__Host-gatehouse", "__Secure-gatehouse", "__host-Gatehouse-flow"} {
		h.Add("Set-Cookie", name+"=planted; Path=/")
	}
	h.Add("Set-Cookie", "theme=dark; Path=/")
	h.Set("Trailer", "Set-Cookie, X-Sum")
	w.WriteHeader(http.StatusOK)
	fmt.Fprint(w, "cookies")
	h.Set("X-Sum", "1")
	h["Set-Cookie"] = []string{"gatehouse=trailing"}
}

// serveWorker is a service worker that answers page views with a promise.
func serveWorker(w http.ResponseWriter, answers string) {
	w.Header().Set("Content-Type", "text/javascript")
	fmt.Fprintf(w, `addEventListener("install", () => skipWaiting())
addEventListener("activate", e => e.waitUntil(Promise.all([clients.claim(), registration.navigationPreload?.enable()])))
addEventListener("fetch", e => { if (e.request.mode == "navigate" && !e.request.url.includes("/_gatehouse/")) e.respondWith(%s) })
`, answers)
}

// header returns all values under every spelling of name that folds to the same
// letters and digits.
func (s seen) header(name string) []string {
	var all []string
	for key, values := range s.Header {
		if folded(key) == folded(name) {
			all = append(all, values...)
		}
	}
	for key, values := range s.Trailer {
		if folded(key) == folded(name) {
			all = append(all, values...)
		}
	}
	slices.Sort(all)
	return all
}

// folded drops what is neither letter nor digit.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// readHeader reads the header of an answer from a raw connection.
func readHeader(t testing.TB, r *bufio.Reader) (status string, h textproto.MIMEHeader) {
	t.Helper()
	reader := textproto.NewReader(r)
	status, err := reader.ReadLine()
	if err != nil {
		t.Fatalf("reading the status: %v", err)
	}
	h, err = reader.ReadMIMEHeader()
	if err != nil {
		t.Fatalf("reading the header: %v", err)
	}
	return status, h
}
