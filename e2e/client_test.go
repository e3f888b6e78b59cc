package e2e

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
)

// A single-page app whose session has ended: its call waits for the sign-in in
// another window and is then made again, with the same body. The window itself
// is played by a second tab, so that it can be looked at.
func TestClientScript(t *testing.T) {
	s := newPortal(t)
	got := s.visitor().get(s.site("a.localhost")+"/_gatehouse/client.js").must(t, http.StatusOK)
	if size := compressed(got.body); size > 2048 {
		t.Errorf("the script has %d bytes compressed", size)
	}
	for name := range got.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: the script is for its own host alone", name)
		}
	}
	alice := person("alice")
	page := s.browser()
	page.base = s.site("a.localhost")
	page.open("/spa?view=1#draft")
	s.signInTab(page, alice)
	if at := page.path(); at != "/spa?view=1#draft" {
		t.Errorf("back at %s", at)
	}

	page.eval(`void fetch('/_gatehouse/logout', {method: 'POST'}).then(() => document.title = 'out')`)
	within(t, patience, "signed out", func() bool { return page.eval(`document.title`) == "out" })
	page.eval(`window.open = u => window.opened = u`)
	page.eval(`void gatehouse.fetch('/save', {method: 'POST', body: 'all that was typed', headers: {Accept: 'application/json'}}).then(r => r.json()).then(a => window.answer = a.Method + ' ' + a.Body + ' ' + a.Header['Remote-User'])`)
	within(t, patience, "a window is opened", func() bool { return page.eval(`window.opened || ''`) != "" })
	opened := page.eval(`window.opened`)
	if !strings.HasPrefix(opened, s.site("a.localhost")+"/_gatehouse/login?") || !strings.Contains(opened, "gatehouse-signed-in") {
		t.Fatalf("the window is at %s", opened)
	}
	window := page.tab()
	window.open(opened)
	s.signInTab(window, alice)
	within(t, patience, "the call is made again", func() bool { return page.eval(`window.answer || ''`) != "" })
	if answer := page.eval(`window.answer`); answer != "POST all that was typed "+alice {
		t.Errorf("the app got %q", answer)
	}
	// Where windows are blocked, the answer comes as it is.
	page.eval(`void fetch('/_gatehouse/logout', {method: 'POST'}).then(() => document.title = 'out again')`)
	within(t, patience, "signed out", func() bool { return page.eval(`document.title`) == "out again" })
	page.eval(`window.open = () => null`)
	page.eval(`void gatehouse.fetch('/save').then(r => window.status = '' + r.status)`)
	within(t, patience, "the 401 is returned", func() bool { return page.eval(`window.status`) == "401" })
}

func compressed(text string) int {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.Len()
}

// signInTab signs in at the form that the tab shows.
func (s *server) signInTab(b *tab, address string) {
	s.Helper()
	b.enter("#email", address)
	b.enter("#code", mails.NextTo(s, address).Code(s))
}
