package caddymodule

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// streamingApp serves answers that don't end by themselves.
type streamingApp struct {
	opened, closed gatherer[string] // paths
}

func (a *streamingApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.opened.channel() <- r.URL.Path
	defer func() { a.closed.channel() <- r.URL.Path }()
	switch r.URL.Path {
	case "/ws":
		switchProtocols(w, r)
	case "/silent": // has not answered yet
		<-r.Context().Done()
	case "/upload":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/download":
		block := make([]byte, 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

func (c *gatedCaddy) end(s *authcore.SignIn) {
	c.Helper()
	ended, err := c.core().Sessions().End(context.Background(), s.Session.ID, session.SignedOut)
	must(c, err)
	if !ended {
		c.Fatal("there was no session to end")
	}
}

// wantCut reads until the answer ends, which must not look like a good end.
func wantCut(t *testing.T, body io.Reader) {
	t.Helper()
	outcome := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, body)
		outcome <- err
	}()
	select {
	case err := <-outcome:
		if err == nil {
			t.Error("the answer ended as if it were whole")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the answer goes on")
	}
}

// openStream opens path and waits until the app has begun to answer.
func (c *gatedCaddy) openStream(app *streamingApp, http2 bool, path, cookie string) io.Reader {
	c.Helper()
	resp := c.fetch(c.client(http2), "GET", path, nil, "Cookie: "+cookie)
	if resp.StatusCode != http.StatusOK {
		c.Fatalf("%s: %s", path, resp.Status)
	}
	app.opened.wait(c, path)
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		c.Fatal(err)
	}
	return resp.Body
}

func TestStreamsAreCutWhenTheSessionEnds(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com", "public /open/*")
	for _, path := range []string{"/events", "/download", "/open/events"} {
		for _, http2 := range []bool{false, true} {
			s := c.signInAt("alice@example.com", "app.example.com")
			body := c.openStream(app, http2, path, "__Host-gatehouse="+s.Token)
			c.end(s)
			wantCut(t, body)
			app.closed.wait(t, "end of "+path+" at the app")
			if resp := c.fetch(c.client(false), "GET", "/events", nil, "Cookie: __Host-gatehouse="+s.Token); resp.StatusCode != 401 {
				t.Errorf("the session goes on: %s", resp.Status)
			}
		}
	}
	eventually(t, "no stream is watched any more", func() bool { return c.core().Sessions().Streams() == 0 })
}

func TestWebSocketIsCutWhenTheSessionEnds(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com")
	s := c.signInAt("alice@example.com", "app.example.com")
	w := c.dial()
	c.send(w, "GET /ws HTTP/1.1", "Host: {host}", "Origin: "+c.origin("app.example.com"), "Cookie: __Host-gatehouse="+s.Token,
		"Connection: Upgrade", "Upgrade: websocket", "", "hello")
	resp, err := http.ReadResponse(w.r, nil)
	must(t, err)
	if line, err := w.r.ReadString('\n'); resp.StatusCode != 101 || line != "hello\r\n" || err != nil {
		t.Fatalf("%s, echoed %q", resp.Status, line)
	}
	c.end(s)
	app.closed.wait(t, "end of the WebSocket at the app")
	if _, err := io.Copy(io.Discard, w.r); err != nil && os.IsTimeout(err) {
		t.Error("the client's connection stays open")
	}
}

// wantCutOff reads until the connection ends, which must be without an answer.
func (c *gatedCaddy) wantCutOff(w *wire, path string) {
	c.Helper()
	if answer, err := io.ReadAll(w.r); err != nil && os.IsTimeout(err) || strings.Contains(string(answer), " 200 ") {
		c.Errorf("%s: %v %s", path, err, answer)
	}
}

// Also when nothing was answered yet, or the client is still sending.
func TestOpenRequestsAreCutWhenTheSessionEnds(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com")
	for path, length := range map[string]int{"/silent": 0, "/upload": 1000} {
		s := c.signInAt("alice@example.com", "app.example.com")
		w := c.dial()
		c.send(w, "POST "+path+" HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse="+s.Token, fmt.Sprintf("Content-Length: %d", length), "", "part"[:length/250])
		app.opened.wait(t, path)
		c.end(s)
		app.closed.wait(t, "end of "+path+" at the app")
		c.wantCutOff(w, path)
	}
}

// The next request is already there, so net/http would not see the client go.
func TestPipeliningClientIsCut(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com")
	s := c.signInAt("alice@example.com", "app.example.com")
	w := c.dial()
	request := []string{"GET /silent HTTP/1.1", "Host: {host}", "Cookie: __Host-gatehouse=" + s.Token, ""}
	c.send(w, append(request, request...)...)
	app.opened.wait(t, "/silent")
	c.end(s)
	app.closed.wait(t, "end of /silent at the app")
	c.wantCutOff(w, "/silent")
}

// A handler that never looks at the request's context is cut as well.
func TestFileDownloadIsCut(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse *@example.com
	root `+c.dir+`
	file_server
}`)
	const size = 1 << 30
	big := filepath.Join(c.dir, "big.bin")
	must(t, os.WriteFile(big, nil, 0o600))
	must(t, os.Truncate(big, size))
	for _, http2 := range []bool{false, true} {
		s := c.signInAt("alice@example.com", "app.example.com")
		resp := c.fetch(c.client(http2), "GET", "/big.bin", nil, "Cookie: __Host-gatehouse="+s.Token)
		if resp.StatusCode != 200 || resp.ContentLength != size {
			t.Fatal(resp.Status)
		}
		c.end(s)
		n, err := io.Copy(io.Discard, resp.Body)
		if err == nil || n == size {
			t.Errorf("HTTP/2 %v: %d bytes arrived", http2, n)
		}
	}
}

// Who loses access loses open streams, and nobody else does.
func TestStreamsAreCutWhenThePolicyChanges(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	list := filepath.Join(c.dir, "people.txt")
	must(t, os.WriteFile(list, []byte("alice@example.com\nbob@example.com\n"), 0o600))
	c.runGate("file:" + list + " carol@example.com")
	open := map[string]io.Reader{}
	for _, who := range []string{"alice", "bob", "carol"} {
		open[who] = c.openStream(app, false, "/events/"+who, c.session(who+"@example.com"))
	}
	must(t, os.WriteFile(list, []byte("bob@example.com\n"), 0o600))
	wantCut(t, open["alice"])
	if path := app.closed.wait(t, "end at the app"); path != "/events/alice" {
		t.Errorf("%s was cut", path)
	}
	c.runGate("file:" + list)
	wantCut(t, open["carol"])
	if path := app.closed.wait(t, "end at the app"); path != "/events/carol" {
		t.Errorf("%s was cut", path)
	}
	for end := time.Now().Add(10 * time.Second); c.core().Sessions().Streams() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) { // the handler of carol's returns a moment after its end
			t.Fatalf("%d streams, want bob's alone", c.core().Sessions().Streams())
		}
	}
}

// Signing in again as the same person goes on with what is open.
func TestStreamGoesOnUnderTheNextSession(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com")
	first := c.signInAt("alice@example.com", "app.example.com")
	body := c.openStream(app, false, "/events", "__Host-gatehouse="+first.Token)
	service := runningApp(t).house.Running().Service
	b := session.Browser{Origin: mustOrigin(t, c.origin("app.example.com")), Session: first.Session}
	begun, err := service.Flows().Begin(context.Background(), b, authcore.Start{Address: first.Session.Address})
	must(t, err)
	b.Flow = begun.FlowCookie
	answer, err := service.Flows().AnswerCode(context.Background(), b, begun.Flow, c.code("alice@example.com"))
	must(t, err)
	if old, err := service.Sessions().Check(context.Background(), first.Token, b.Origin); old != nil || err != nil || c.core().Sessions().Streams() != 1 {
		t.Fatal("the old session should have ended, and its stream not")
	}
	c.end(answer.SignIn)
	wantCut(t, body)
}

func TestReportOnlyCutsNothing(t *testing.T) {
	app := &streamingApp{}
	c := newGatedCaddy(t, app)
	c.runGate("*@example.com", "report_only")
	s := c.signInAt("alice@example.com", "app.example.com")
	c.openStream(app, false, "/events", "__Host-gatehouse="+s.Token)
	c.end(s)
	other := c.signInAt("bob@example.com", "app.example.com")
	c.openStream(app, false, "/other", "__Host-gatehouse="+other.Token) // later than any cut of the first
	select {
	case path := <-app.closed.channel():
		t.Errorf("%s was cut", path)
	default:
	}
}
