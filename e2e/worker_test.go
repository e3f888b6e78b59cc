package e2e

import (
	"net/url"
	"testing"
)

// workers are the ways in which service workers hand page views on.
var workers = []string{
	"fetch(e.request)",
	"e.preloadResponse.then(r => r || fetch(e.request))",
	`fetch(new Request(e.request, {cache: "no-store"}))`,
}

// install registers the worker, and waits until it answers for the page.
func install(answers string) string {
	return `navigator.serviceWorker.register("/worker.js?answers=` + url.QueryEscape(answers) + `").then(() => navigator.serviceWorker.controller ||
		new Promise(controls => navigator.serviceWorker.oncontrollerchange = controls)).then(() => "installed")`
}

// A page that a service worker fetches is still a page: without a session the
// person gets the form, not a script's answer.
func TestServiceWorkers(t *testing.T) {
	s := start(t, plan{})
	for _, answers := range workers {
		b := s.browser()
		alice, bob := person("alice"), person("bob")
		b.signIn(alice)
		b.eval(install(answers))
		b.open("/page")
		b.sees(alice)
		b.eval(`fetch("/_gatehouse/logout", {method: "POST"}).then(r => r.status)`)
		if status := b.open("/page?x=1"); status != 200 {
			t.Errorf("%s: the page view ends in %d", answers, status)
		}
		b.enter("#email", bob)
		b.enter("#code", mails.NextTo(t, bob).Code(t))
		b.sees(bob)
		if at := b.path(); at != "/page?x=1" {
			t.Errorf("%s: the sign-in leads to %s", answers, at)
		}
	}
}
