package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

const pasted = `(c => { const f = document.querySelector('#code'); f.value = c
	f.dispatchEvent(new InputEvent('input', {inputType: 'insertFromPaste', bubbles: true})) })`

// TestScripts is what JavaScript adds, through the whole product.
func TestScripts(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.consoleIsSilent()
	b.open("/report")
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	b.do("typing", chromedp.SendKeys(chromedp.CSS("#code"), m.Code(t)))
	if b.path() != "/_gatehouse/code" {
		t.Fatal("the last digit sent the code, which nobody had asked for")
	}
	// The same tab waits while the link is used in another one.
	mail := b.tab()
	mail.consoleIsSilent()
	mail.open(m.Link(t))
	mail.sees(alice)
	b.sees(alice)
	if b.path() != "/report" {
		t.Errorf("the waiting tab went on to %s", b.path())
	}

	other := s.browser()
	other.consoleIsSilent()
	other.open("/pasted")
	other.enter("#email", alice)
	code := mails.NextTo(t, alice).Code(t)
	other.eval(pasted + `('Your code is ` + code[:3] + "\u00a0" + code[3:] + `.')`)
	other.sees("/pasted")
}

// TestDoubleClick: a second press of the button sends nothing.
func TestDoubleClick(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.consoleIsSilent()
	traffic := b.traffic()
	b.open("/report")
	b.do("typing", chromedp.SendKeys(chromedp.CSS("#email"), alice))
	const twice = `{ const button = document.querySelector('main button'); button.click(); button.click() }`
	b.leads("two clicks", chromedp.Evaluate[chromedp.Void](twice))
	m := mails.NextTo(t, alice)
	b.do("typing", chromedp.SendKeys(chromedp.CSS("#code"), m.Code(t)))
	b.leads("two clicks", chromedp.Evaluate[chromedp.Void](twice))
	if b.sees(alice); b.path() != "/report" {
		t.Errorf("two clicks led to %s", b.path())
	}
	posts := traffic.count(func(r sent) bool { return r.method == http.MethodPost })
	if posts != 2 {
		t.Errorf("two forms were sent %d times", posts)
	}
}

// TestBack goes back to pages that have done their work.
func TestBack(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.consoleIsSilent()
	b.open("/report")
	b.enter("#email", alice)
	code := mails.NextTo(t, alice).Code(t)
	b.do("going back", chromedp.NavigateBack())
	b.sees("Email address")
	// The button works again.
	again := chromedp.Evaluate[chromedp.Void](`(document.querySelector('#email').value = '` + alice + `', document.querySelector('main button').click())`)
	if got := b.leads("pressing the button again", again); got != http.StatusOK || b.path() != "/_gatehouse/code" {
		t.Fatalf("after going back and on: %d at %s", got, b.path())
	}
	// A page out of the browser's memory is old: it asks anew.
	began := b.eval("performance.timeOrigin")
	b.leads("coming back", chromedp.Evaluate[chromedp.Void](`dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))`))
	if b.eval("performance.timeOrigin") == began {
		t.Error("a page out of the browser's memory was not loaded again")
	}
	b.enter("#code", code)
	b.sees(alice)
	b.do("going back", chromedp.NavigateBack())
	b.sees(alice) // and not a form whose code is used
	if b.path() != "/report" {
		t.Errorf("going back after signing in leads to %s", b.path())
	}
}

// TestNoScript takes the byways that need no JavaScript either.
func TestNoScript(t *testing.T) {
	s := start(t, plan{global: "limits {\n per_client 1000 1m\n}"}) // and the defaults for one address
	alice := person("alice")
	b := s.browser().withoutScripts()
	b.open("/report")
	b.do("opening the languages", chromedp.Click(chromedp.CSS("footer summary")))
	b.click("footer a[lang=de]")
	b.sees("Anmelden")
	b.enter("#email", "alice")
	b.sees("Geben Sie")
	b.do("clearing", chromedp.Clear(chromedp.CSS("#email")))
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	if mail := m.Parse(t); mail.Header.Get("Content-Language") != "de" {
		t.Errorf("the page was German, the mail is %q", mail.Header.Get("Content-Language"))
	}
	for _, link := range linksIn.FindAllString(m.Parse(t).Text, -1) {
		if strings.Contains(link, "/not-me/") {
			stranger := s.browser().withoutScripts()
			stranger.open(link)
			if status := stranger.enter("#email", "bob@example.com"); status != http.StatusUnprocessableEntity {
				t.Errorf("the wrong address at the link to stop the mails: %d", status)
			}
		}
	}
	elsewhere := s.browser().withoutScripts()
	elsewhere.open(m.Link(t))
	elsewhere.click("main a")
	if !strings.HasPrefix(elsewhere.path(), "/_gatehouse/login") {
		t.Errorf("another browser is led to %s", elsewhere.path())
	}
	b.open("/_gatehouse/code")
	b.do("opening the help", chromedp.Click(chromedp.CSS("main summary")))
	if status := b.click("main details form button"); status != http.StatusTooManyRequests {
		t.Errorf("asking again at once: %d", status)
	}
	b.enter("#code", m.Code(t))
	b.sees(alice)
	b.open("/_gatehouse/login")
	b.sees(alice) // Continue as …
	b.click("main .button")
	b.open("/_gatehouse/account")
	b.sees("Where you're signed in") // after the sign-in the browser's languages count
	b.open("/_gatehouse/logout")
	b.click("main form button")
	b.click("main .button")
	if !strings.HasPrefix(b.path(), "/_gatehouse/login") {
		t.Errorf("signing in again is at %s", b.path())
	}
}

// TestFieldsForPhones: what password managers and the keyboards of phones go by.
func TestFieldsForPhones(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	attributes := func(selector string, want map[string]string) {
		t.Helper()
		for name, value := range want {
			if got := b.eval(`String(document.querySelector('` + selector + `').getAttribute('` + name + `'))`); got != value {
				t.Errorf("%s has %s=%s, want %s", selector, name, got, value)
			}
		}
	}
	b.open("/")
	attributes("#email", map[string]string{"type": "email", "name": "email", "autocomplete": "email", "inputmode": "email", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"})
	b.enter("#email", alice)
	attributes("#code", map[string]string{"type": "text", "name": "code", "autocomplete": "one-time-code", "inputmode": "numeric", "dir": "ltr", "maxlength": "null"})
	attributes("[autocomplete=username]", map[string]string{"type": "email", "value": alice, "readonly": "", "tabindex": "-1", "aria-hidden": "true", "name": "null"})
	// Its text must not be spoilt by what types into it, and it takes no room.
	if got := b.eval(`(e => e.getBoundingClientRect().width <= 1 && !e.disabled && getComputedStyle(e).display != 'none')(document.querySelector('[autocomplete=username]'))`); got != "true" {
		t.Error("the field for password managers is visible, or hidden from them too")
	}
}

// TestResendTimer: the seconds run for the eye, and are said three times at
// most, also when the browser lets a tab in the background sleep.
func TestResendTimer(t *testing.T) {
	g := openGallery(t, screen.Brand{})
	g.do("stopping the clock", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
			let now = 1e12, due = []
			Date.now = () => now
			window.setTimeout = f => due.push(f)
			window.sleep = ms => { now += ms; for (const f of due.splice(0)) f() }`})
		return chromedp.Void{}, err
	})
	button := func() string { return g.eval(`document.querySelector('[data-wait]').ariaDisabled`) }
	for _, c := range []struct {
		name, steps string
		want        []string
	}{
		{"awake", "Array(60).fill(1000)", []string{"You can ask again in 30 seconds.", "You can ask again in 10 seconds.", "You can ask again now."}},
		{"asleep", "[28500, 9000, 16500]", []string{"You can ask again in 26 seconds.", "You can ask again now."}},
	} {
		g.show(g.scene("code sent"), "en")
		if button() != "true" || g.eval(`document.querySelector('#wait').getAttribute('role')`) == "status" {
			t.Fatalf("%s: the button does not wait, or every second is said", c.name)
		}
		said := g.eval(`(() => { const live = document.querySelector('#live[role=status]'), said = []
			const note = () => live.textContent && said.at(-1) != live.textContent && said.push(live.textContent)
			for (const ms of ` + c.steps + `) { sleep(ms); note() }
			return said.join('|') })()`)
		if said != strings.Join(c.want, "|") {
			t.Errorf("%s: what was said is %q, want %q", c.name, said, c.want)
		}
		if button() == "true" {
			t.Errorf("%s: the button still waits", c.name)
		}
	}
}
