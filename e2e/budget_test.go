package e2e

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// TestBudgetsInABrowser measures what a page and a mail cost whoever opens them.
func TestBudgetsInABrowser(t *testing.T) {
	const maxPage, maxScript = 2560, 1228 // bytes, compressed, without headers
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	traffic := b.traffic()
	load := func(what string, do func(), want int) {
		t.Helper()
		do()
		all := traffic.take()
		for _, r := range all {
			if !strings.HasPrefix(r.url, s.url+"/_gatehouse/") {
				t.Errorf("%s: a request to somebody else: %s", what, r.url)
			}
		}
		body, _ := strconv.Atoi(b.eval(`performance.getEntriesByType('navigation')[0].encodedBodySize`))
		script, _ := strconv.Atoi(b.eval(`Math.max(...performance.getEntriesByType('resource').map(r => r.encodedBodySize), 0)`))
		if len(all) != want || body > maxPage || script > maxScript || body == 0 {
			t.Errorf("%s: %d requests, want %d; page of %d bytes, script of %d: %v", what, len(all), want, body, script, all)
		}
		t.Logf("%s: %d requests, page of %d bytes, script of %d", what, len(all), body, script)
	}
	load("cold", func() { b.open("/_gatehouse/login") }, 2)
	load("warm", func() { b.open("/_gatehouse/login") }, 1)
	load("code", func() { b.enter("#email", alice) }, 2) // the POST and the page
	m := mails.NextTo(t, alice)
	load("wrong code", func() { b.enter("#code", wrong(m.Code(t))) }, 1)
	other := s.browser()
	b, traffic = other, other.traffic()
	load("link, elsewhere, cold", func() { b.open(m.Link(t)) }, 2)

	g := openGallery(t, screen.Brand{})
	mail := g.traffic()
	g.open("/mail/0?lang=en")
	for _, r := range mail.take() {
		// The icon is the browser's idea, not the mail's.
		if r.url != g.base+"/mail/0?lang=en" && r.url != g.base+"/favicon.ico" {
			t.Errorf("the mail loads %s", r.url)
		}
	}
}

// traffic is what a tab asked of the network.
type traffic struct {
	mu       sync.Mutex
	requests map[network.RequestID]*sent
	before   []sent // that were redirected
}

type sent struct {
	method, url string
	cached      bool
	bytes       float64
}

// traffic listens to what the tab asks for from now on.
func (b *tab) traffic() *traffic {
	b.Helper()
	t := &traffic{requests: map[network.RequestID]*sent{}}
	err := chromedp.Listen(b.ctx, func(event any) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if earlier := t.requests[e.RequestID]; earlier != nil {
				t.before = append(t.before, *earlier)
			}
			t.requests[e.RequestID] = &sent{method: e.Request.Method, url: e.Request.URL}
		case *network.EventRequestServedFromCache:
			if r := t.requests[e.RequestID]; r != nil {
				r.cached = true
			}
		case *network.EventResponseReceived:
			if r := t.requests[e.RequestID]; r != nil && e.Response.FromDiskCache {
				r.cached = true
			}
		case *network.EventLoadingFinished:
			if r := t.requests[e.RequestID]; r != nil {
				r.bytes = e.EncodedDataLength
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// take returns what went over the network so far, and forgets it.
func (t *traffic) take() []sent {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.before
	for _, r := range t.requests {
		all = append(all, *r)
	}
	t.before, t.requests = nil, map[network.RequestID]*sent{}
	var over []sent
	for _, r := range all {
		if !r.cached && !strings.HasPrefix(r.url, "data:") {
			over = append(over, r)
		}
	}
	return over
}

func (t *traffic) count(which func(sent) bool) (n int) {
	for _, r := range t.take() {
		if which(r) {
			n++
		}
	}
	return n
}
