package e2e

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// A single-page app whose session has ended: its call waits for the sign-in in
// another window and is then made again, with the same body. The window is told
// from the page by a BroadcastChannel: the form has no opener.
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
	// A click, because browsers open windows on a person's wish alone.
	page.eval(`document.querySelector('#who').onclick = () => gatehouse.fetch('/save', {method: 'POST', body: 'all that was typed', headers: {Accept: 'application/json'}}).then(r => r.json()).then(a => window.answer = a.Method + ' ' + a.Body + ' ' + a.Header['Remote-User'])`)
	window := page.popup("#who")
	within(t, patience, "the form in the window", func() bool { return strings.Contains(window.html(), `id="email"`) })
	if opener := window.eval(`window.opener === null`); opener != "true" {
		t.Errorf("the form has an opener: %s", opener)
	}
	// Closed, and asked for again: the call still waits, in a new window.
	window.eval(`(setTimeout(close), 1)`)
	within(t, patience, "the window is closed", func() bool { return !page.has(window) })
	page.eval(`void dispatchEvent(new Event('focus'))`)
	window = page.popup("#who")
	within(t, patience, "the form in another window", func() bool { return strings.Contains(window.html(), `id="email"`) })
	if waits := page.eval(`window.answer || 'waits'`); waits != "waits" {
		t.Errorf("the call does not wait: %s", waits)
	}
	s.signInTab(window, alice)
	within(t, patience, "the call is made again", func() bool { return page.eval(`window.answer || ''`) != "" })
	if answer := page.eval(`window.answer`); answer != "POST all that was typed "+alice {
		t.Errorf("the app got %q", answer)
	}
	if at := page.path(); at != "/spa?view=1#draft" {
		t.Errorf("the page is at %s", at)
	}
	within(t, patience, "the window closes", func() bool { return !page.has(window) })
	// Where windows are blocked, the answer comes as it is.
	page.eval(`void fetch('/_gatehouse/logout', {method: 'POST'}).then(() => document.title = 'out again')`)
	within(t, patience, "signed out", func() bool { return page.eval(`document.title`) == "out again" })
	page.eval(`window.open = () => null`)
	page.eval(`void gatehouse.fetch('/save').then(r => window.status = '' + r.status)`)
	within(t, patience, "the 401 is returned", func() bool { return page.eval(`window.status`) == "401" })
}

// popup clicks and returns the window that opens.
func (b *tab) popup(selector string) *tab {
	b.Helper()
	opened := chromedp.WaitNewTarget(b.ctx, func(i *target.Info) bool { return i.Type == "page" })
	b.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
	select {
	case id := <-opened:
		return openTab(b.TB, b.ctx, b.base, chromedp.WithTargetID(id))
	case <-time.After(patience):
		b.Fatal("no window was opened")
	}
	return nil
}

// has tells whether the window is still open.
func (b *tab) has(window *tab) bool {
	b.Helper()
	all, err := chromedp.Targets(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	id := chromedp.FromContext(window.ctx).Target.TargetID
	return slices.ContainsFunc(all, func(i *target.Info) bool { return i.TargetID == id })
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
