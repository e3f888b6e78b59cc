package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// tab is a page in a real Chromium, with what its console said.
type tab struct {
	testing.TB
	ctx  context.Context
	base string

	mayLog string // what the console may say
}

const patience = 30 * time.Second

// chromium starts a browser. There is none of its sort on the way to a visitor,
// so a missing one is a failure, not a reason to look away.
func chromium(t *testing.T) context.Context {
	t.Helper()
	profile, err := os.MkdirTemp("", "gatehouse-pages") //nolint:usetesting // chromium may still write into it when it is removed, which must not fail the test
	check(t, err)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"))...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() { cancel(); stop(); _ = os.RemoveAll(profile) })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting chromium (Debian's package chromium): %v", err)
	}
	return ctx
}

// serve puts the house behind a real server on localhost, with an app that says
// where the visitor is, and one page of it that leads on to another site.
func (h *house) serve() (base string) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<link rel=icon href=data:,>another site")
	}))
	h.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, screen.Root):
			h.ServeHTTP(w, r)
		case r.URL.Path == "/onward":
			http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "onward.test", 1), http.StatusFound)
		default:
			fmt.Fprintf(w, "<link rel=icon href=data:,>the app at %s", r.URL.Path)
		}
	}))
	h.Cleanup(server.Close)
	base = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	h.origin = mustOrigin(h.T, base)
	return base
}

func openTab(t testing.TB, parent context.Context, base string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	b := &tab{TB: t, ctx: ctx, base: base}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(chromedp.Do(ctx, chromedp.EmulateViewport(1000, 760)))
	check(chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the script failed: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			// Statuses of 400 and more are logged as errors too, and are meant.
			if e.Entry.Source != "network" && (b.mayLog == "" || !strings.Contains(e.Entry.Text, b.mayLog)) {
				t.Errorf("the console says: %s", e.Entry.Text)
			}
		}
	}))
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

func (b *tab) open(path string) {
	b.Helper()
	b.do("opening "+path, chromedp.Navigate(b.base+path))
}

func (b *tab) eval(js string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+js+")"))
	if err != nil {
		return ""
	}
	return text
}

// sees waits until a text is on the page.
func (b *tab) sees(text string) {
	b.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := b.eval("document.body.innerText")
		if strings.Contains(got, text) {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("the page does not show %q but at %s:\n%s", text, b.eval("location.href"), got)
		}
	}
}

// focusIsOn waits for the focus, which a browser sets a little after the page.
func (b *tab) focusIsOn(id string) {
	b.Helper()
	for deadline := time.Now().Add(patience); b.eval("document.activeElement.id") != id; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the focus is on %q, not on %q", b.eval("document.activeElement.id"), id)
		}
	}
}

func (b *tab) start(h *house, email, returnTo string) (code, link string) {
	b.Helper()
	b.open("/_gatehouse/login?return_to=" + returnTo)
	b.do("typing the address", chromedp.SendKeys(chromedp.CSS("#email"), email+"\r"))
	b.sees("Check your email")
	m := h.mail()
	return m.Code, strings.TrimPrefix(m.Link, b.base)
}

const paste = `(c => { const f = document.querySelector('#code'); f.value = c
	f.dispatchEvent(new InputEvent('input', {inputType: 'insertFromPaste', bubbles: true})) })`

func TestScript(t *testing.T) {
	browser := chromium(t)
	t.Run("a pasted code is sent by itself", func(t *testing.T) {
		h := newHouse(t)
		b := openTab(t, browser, h.serve())
		code, _ := b.start(h, "alice@example.com", "/pasted")
		b.do("typing", chromedp.SendKeys(chromedp.CSS("#code"), code[:3]))
		b.eval(paste + `('Your code is ` + code[:3] + "\u00a0" + code[3:] + `.')`)
		b.sees("the app at /pasted")
	})
	t.Run("what follows the # comes back, and costs nothing else", func(t *testing.T) {
		h := newHouse(t)
		base := h.serve()
		for at, want := range map[string]string{
			"/#/inbox": "/#/inbox", "/x?y=1#/inbox?z": "/x?y=1#/inbox?z", `/x?y=\#50%`: `/x?y=\#50%`,
			"/x?y=1#" + strings.Repeat("long", 2100): "/x?y=1", "/x?y=1#" + strings.Repeat("(=)", 1000): "/x?y=1",
		} {
			path, hash, _ := strings.Cut(at, "#")
			b := openTab(t, browser, base)
			code, _ := b.start(h, fmt.Sprintf("a%d@example.com", len(at)), url.QueryEscape(path)+"#"+hash)
			b.do("typing the code", chromedp.SendKeys(chromedp.CSS("#code"), code+"\r"))
			b.sees("the app at ")
			if got := b.eval("location.pathname + location.search + location.hash"); got != want {
				t.Errorf("%.30s of %d bytes leads to %.60s", at, len(at), got)
			}
		}
	})
	t.Run("a typed code waits for the button", func(t *testing.T) {
		h := newHouse(t)
		b := openTab(t, browser, h.serve())
		code, _ := b.start(h, "alice@example.com", "/typed")
		b.do("typing", chromedp.SendKeys(chromedp.CSS("#code"), code))
		if got := b.eval("location.pathname + document.querySelector('#code').value"); got != "/_gatehouse/code"+code {
			t.Fatalf("after the last digit: %s", got)
		}
		b.do("pressing the button", chromedp.Click(chromedp.CSS("main button")))
		b.sees("the app at /typed")
	})
	t.Run("the first tab goes on when the link was used in a second", func(t *testing.T) {
		h := newHouse(t)
		first := openTab(t, browser, h.serve())
		_, link := first.start(h, "alice@example.com", "/first")
		second := openTab(t, first.ctx, first.base)
		second.open(link)
		second.sees("the app at /first")
		first.sees("the app at /first")
	})
	t.Run("a wrong code in one tab leaves the other alone", func(t *testing.T) {
		h := newHouse(t)
		first := openTab(t, browser, h.serve())
		code, _ := first.start(h, "alice@example.com", "/first")
		second := openTab(t, first.ctx, first.base)
		second.open("/_gatehouse/code")
		second.eval(paste + `('` + wrong(code) + `')`)
		second.sees("That code isn't right")
		first.sees("Check your email")
		if got := first.eval("document.activeElement.id + document.title"); got != "codeCheck your email – "+h.origin.Host() {
			t.Errorf("the first tab: %s", got)
		}
		second.focusIsOn("code")
	})
	t.Run("resend waits", func(t *testing.T) {
		h := newHouse(t)
		b := openTab(t, browser, h.serve())
		b.start(h, "alice@example.com", "/x")
		b.eval("document.querySelector('details').open = true")
		b.sees("You can ask again in 5") // 59 … 50 seconds
		if got := b.eval("document.querySelector('[data-wait]').ariaDisabled"); got != "true" {
			t.Errorf("the button is not marked: %s", got)
		}
		b.do("pressing it too early", chromedp.Click(chromedp.CSS("[data-wait]")))
		b.sees("Check your email")
		h.advance(time.Minute)
		b.eval("document.querySelector('[data-wait]').ariaDisabled = ''")
		b.do("pressing it", chromedp.Click(chromedp.CSS("[data-wait]")))
		b.sees("Sent again to alice@example.com")
	})
	t.Run("an app that leads on to another site", func(t *testing.T) {
		h := newHouse(t)
		b := openTab(t, browser, h.serve())
		b.mayLog = "form-action"
		code, _ := b.start(h, "alice@example.com", "/onward")
		b.eval(paste + `('` + code + `')`)
		b.sees("another site")
		_, link := b.start(h, "bob@example.com", "/onward")
		b.open(link)
		b.do("pressing the button", chromedp.Click(chromedp.CSS("main button")))
		b.sees("another site")
	})
}
