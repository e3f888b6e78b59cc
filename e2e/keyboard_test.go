package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// tabbable is all that Tab must reach, in order.
const tabbable = `[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')].filter(e =>
	e.tabIndex >= 0 && e.checkVisibility())`

// stop is where the focus is.
type stop struct {
	Index   int     // in tabbable, -1 for elsewhere
	Name    string  // id or text
	Ring    float64 // width of the outline, in px
	Offset  float64
	Style   string
	Covered bool // something lies over it, or it is out of the window
}

const focused = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect()
	const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2)
	return JSON.stringify({Index: (` + tabbable + `).indexOf(e), Name: e.id || e.textContent.trim(), Ring: parseFloat(s.outlineWidth),
		Offset: parseFloat(s.outlineOffset), Style: s.outlineStyle, Covered: !top || !(e.contains(top) || top.contains(e))})
})()`

func (b *tab) focus() stop {
	b.Helper()
	var s stop
	if err := json.Unmarshal([]byte(b.eval(focused)), &s); err != nil {
		b.Fatal(err)
	}
	return s
}

// keys presses keys, wherever the focus is.
func (b *tab) keys(keys string) {
	b.Helper()
	b.do("pressing "+keys, chromedp.KeyEvent(keys))
}

// tabTo presses Tab until the focus is on what has this id or text.
func (b *tab) tabTo(name string) {
	b.Helper()
	var passed []string
	for range 40 {
		b.keys(kb.Tab)
		s := b.focus()
		if s.Name == name {
			return
		}
		passed = append(passed, s.Name)
	}
	b.Fatalf("Tab does not lead to %q, but to %v", name, passed)
}

// beginsAt waits until the page has put the focus where it begins, which a
// browser does when it first draws the page.
func (b *tab) beginsAt(id string) {
	b.Helper()
	within(b, patience, "the focus is on "+id, func() bool { return b.eval("document.activeElement?.id") == id })
}

// press presses a key that leads to another page.
func (b *tab) press(key string) int64 {
	b.Helper()
	return b.leads("pressing a key", chromedp.KeyEvent(key))
}

// TestTabReachesAll: Tab reaches everything, in the order of the page, and one
// sees where one is.
func TestTabReachesAll(t *testing.T) {
	g := openGallery(t, screen.Brand{Support: "help@example.com"})
	for _, height := range []int64{760, 320} {
		g.do("resizing", chromedp.EmulateViewport(640, height))
		g.each([]string{"en", "ar"}, func(where string) {
			// From the top, wherever the page puts the focus when it is first drawn.
			within(t, patience, "the focus is where the page puts it", func() bool {
				return g.eval("[document.activeElement, null].includes(document.querySelector('[autofocus]'))") == "true"
			})
			g.eval("(document.activeElement.blur(), document.body.tabIndex = -1, document.body.focus(), scrollTo(0, 0))")
			var count int
			if err := json.Unmarshal([]byte(g.eval("("+tabbable+").length")), &count); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				g.keys(kb.Tab)
				s := g.focus()
				if s.Index != i {
					t.Errorf("%s: Tab number %d leads to %q (%d)", where, i+1, s.Name, s.Index)
					break
				}
				if s.Ring < 3 || s.Style == "none" || s.Offset < 2 || s.Covered {
					t.Errorf("%s: one can't see that the focus is on %q: %+v", where, s.Name, s)
				}
			}
		})
	}
}

// TestFocusAtStart: in the field that is wrong or takes the code, else on the
// message; with and without JavaScript.
func TestFocusAtStart(t *testing.T) {
	g := openGallery(t, screen.Brand{})
	for _, scripts := range []bool{true, false} {
		if !scripts {
			g.withoutScripts()
		}
		for _, s := range g.shown() {
			g.open(s.path + "?lang=en")
			begin := g.eval(`(document.querySelector('[aria-invalid]') || document.querySelector('#error, #code'))?.id || ''`)
			if begin != "" {
				g.beginsAt(begin)
			}
			failed := g.eval(`!!document.querySelector('#error')`) == "true"
			title, role := g.eval(`document.title`), g.eval(`document.querySelector('[role=alert]')?.id || ''`)
			if failed != strings.HasPrefix(title, "Error: ") || failed != (role == "error") {
				t.Errorf("%s: the title is %q, and the alert is %q", s.name, title, role)
			}
		}
	}
}

// TestKeyboardOnly takes the whole way, and some byways, without a mouse.
func TestKeyboardOnly(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.consoleIsSilent()
	b.open("/report")
	// Another language, and back.
	b.tabTo("Language")
	b.keys(kb.Enter)
	b.tabTo("Deutsch")
	b.press(kb.Enter)
	b.sees("Anmelden")
	b.tabTo("Sprache")
	b.keys(kb.Enter)
	b.tabTo("English")
	b.press(kb.Enter)
	b.beginsAt("email")
	b.keys("alice@nowhere")
	if status := b.press(kb.Enter); status != 422 {
		t.Fatalf("after half an address: %d", status)
	}
	b.beginsAt("email")
	b.eval("document.activeElement.select(), ''")
	b.keys(alice)
	b.press(kb.Enter)
	m := mails.NextTo(t, alice)
	b.beginsAt("code")
	b.keys(wrong(m.Code(t)))
	b.press(kb.Enter)
	b.beginsAt("code")
	b.tabTo("Didn't get it?")
	b.keys(kb.Enter)
	b.tabTo("Send it again") // not yet, but it can be reached
	b.keys(kb.Enter)
	if b.path() != "/_gatehouse/code" {
		t.Fatalf("the button that has to wait led to %s", b.path())
	}
	back := chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift))
	b.do("going back", back, back, back)
	if at := b.focus(); at.Name != "code" {
		t.Fatalf("three back from the button is %+v", at)
	}
	b.keys(m.Code(t))
	b.tabTo("Sign in")
	if b.press(kb.Enter); b.path() != "/report" {
		t.Fatalf("the code led to %s", b.path())
	}
	b.tabTo("out")
	b.press(kb.Enter)
	b.tabTo("Sign out")
	b.press(kb.Enter)
	b.sees("You're signed out")
}
