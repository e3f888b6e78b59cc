package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
)

// A cut holds for every handler, also over a writer that knows no deadlines:
// the context ends, nothing more can be written, and the answer does not end as
// if it were whole.
func TestCutAnswerIsAborted(t *testing.T) {
	f := newFixture(t)
	s := f.signInFor("alice@example.com", testSite)
	w := newRecorder()
	app := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		_, err := w.Write([]byte("before"))
		must(t, err)
		if _, err := f.run.Core.Sessions().End(context.Background(), s.Session.ID, session.SignedOut); err != nil {
			t.Error(err)
		}
		if r.Context().Err() == nil {
			t.Error("the context goes on")
		}
		for name, write := range map[string]func() error{
			"Write": func() error { _, err := w.Write([]byte("after")); return err },
			"Flush": http.NewResponseController(w).Flush,
		} {
			if err := write(); !errors.Is(err, gate.ErrCut) {
				t.Errorf("%s after the cut: %v", name, err)
			}
		}
		return nil
	})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("the handler ended with %v", got)
		}
		if w.Body.String() != "before" || f.run.Core.Sessions().Streams() != 0 {
			t.Errorf("%q was written, %d streams are watched", w.Body, f.run.Core.Sessions().Streams())
		}
	}()
	handler(f.gate(nil), app).ServeHTTP(w, request("GET", testSite+"/", "Cookie: __Host-gatehouse="+s.Token))
}

// A handler's own panic goes through, and the watch ends with it.
func TestPanicEndsTheWatch(t *testing.T) {
	f := newFixture(t)
	app := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { panic("app") })
	defer func() {
		if got := recover(); got != "app" || f.run.Core.Sessions().Streams() != 0 {
			t.Errorf("%v, %d streams are watched", got, f.run.Core.Sessions().Streams())
		}
	}()
	handler(f.gate(nil), app).ServeHTTP(newRecorder(), request("GET", testSite+"/", "Cookie: "+f.signIn("alice@example.com", testSite)))
}

// The outer gate's use of a session must not make it fresh for a stricter one
// further in.
func TestInnerGateSeesTheIdleness(t *testing.T) {
	f := newFixture(t)
	cookie := "Cookie: " + f.signIn("alice@example.com", testSite)
	outer, inner := f.gate(nil), f.gate(func(g *Gate) { g.SessionIdle = caddy.Duration(time.Hour) })
	f.clock.add(2 * time.Hour)
	app := &recordingApp{}
	w := newRecorder()
	handler(outer, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		return inner.ServeHTTP(w, r, app)
	})).ServeHTTP(w, request("GET", testSite+"/", cookie))
	if w.Code != 401 || app.last() != nil {
		t.Errorf("%d", w.Code)
	}
}
