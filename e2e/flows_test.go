package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestSignInWithCode(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	if status := b.open("/report?week=47"); status != 200 || b.path() != "/_gatehouse/login?return_to=%2Freport%3Fweek%3D47" {
		t.Fatalf("a visitor got %d at %s", status, b.path())
	}
	b.picture("login")
	if status := b.enter("#email", alice); status != 200 || b.path() != "/_gatehouse/code" {
		t.Fatalf("after the address: %d at %s", status, b.path())
	}
	b.sees(alice)
	b.picture("code")
	if status := b.enter("#code", mails.NextTo(t, alice).Code(t)); status != 200 || b.path() != "/report?week=47" {
		t.Fatalf("after the code: %d at %s", status, b.path())
	}
	b.sees(alice)
	b.picture("app")
	for _, r := range s.app.requests() {
		if r.Header.Get("Remote-User") != alice {
			t.Errorf("the app saw %s, which nobody had signed in for", r.URI)
		}
	}
}

func TestSignInWithLink(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.open("/report")
	b.enter("#email", alice)
	link := mails.NextTo(t, alice).Link(t)
	mail := b.tab()
	mail.open(link) // the page's script presses the button
	mail.sees(alice)
	if mail.path() != "/report" {
		t.Errorf("the link led to %s", mail.path())
	}
	if again := b.tab(); again.open(link) != 410 {
		t.Error("a used link does not say so")
	}
}

func TestLinkInAnotherBrowser(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.open("/report")
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	other := s.browser()
	if status := other.open(m.Link(t)); status != 200 {
		t.Fatalf("the link in another browser: %d", status)
	}
	other.sees("Go back there and type the code")
	other.picture("link-elsewhere")
	for name := range other.cookies() {
		if name == "gatehouse" {
			t.Error("the other browser is signed in")
		}
	}
	if b.enter("#code", m.Code(t)); b.path() != "/report" {
		t.Errorf("the browser that asked could not go on: it is at %s", b.path())
	}
	b.sees(alice)
}

func TestFiveWrongCodes(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.open("/")
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	for _, left := range []string{"4 tries", "3 tries", "2 tries", "1 try"} {
		if status := b.enter("#code", wrong(m.Code(t))); status != 422 {
			t.Fatalf("a wrong code: %d", status)
		}
		b.sees(left)
	}
	b.picture("wrong-code")
	if status := b.enter("#code", wrong(m.Code(t))); status != 429 {
		t.Fatalf("the fifth wrong code: %d", status)
	}
	b.sees("Too many wrong codes")
	b.picture("locked")
	if status := b.open(m.Link(t)); status != 410 {
		t.Errorf("the link of a locked sign-in: %d", status)
	}
}

// wrong is a code that is not this one.
func wrong(code string) string {
	last := (code[len(code)-1]-'0'+1)%10 + '0'
	return code[:len(code)-1] + string(last)
}

func TestExpiredCode(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.open("/report")
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	s.pass(11 * time.Minute)
	if status := b.tab().open(m.Link(t)); status != 410 {
		t.Errorf("an expired link: %d", status)
	}
	if status := b.enter("#code", m.Code(t)); status != 410 {
		t.Errorf("an expired code: %d", status)
	}
	b.sees("We've just sent you a new one")
	b.picture("expired")
	fresh := mails.NextTo(t, alice)
	if b.enter("#code", fresh.Code(t)); b.path() != "/report" {
		t.Errorf("the code that was sent anew led to %s", b.path())
	}
}

func TestResend(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	v := s.visitor()
	first := v.begin(alice)
	early := v.post("/_gatehouse/resend").must(t, 429)
	if early.Header.Get("Retry-After") == "" {
		t.Error("too early, and not a word about when")
	}
	s.pass(61 * time.Second)
	b := s.browserWith(v)
	b.open("/_gatehouse/code")
	b.do("opening the help", chromedp.Click(chromedp.CSS("main details summary")))
	b.click("main details form button")
	b.sees("again")
	b.picture("resent")
	second := mails.NextTo(t, alice)
	if first.Code(t) != second.Code(t) || first.Link(t) != second.Link(t) {
		t.Error("while code and link live, the same ones are sent again")
	}
	b.enter("#code", second.Code(t))
	b.sees(alice)
}

func TestSignOut(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser()
	b.signIn(alice)
	token := b.cookies()["gatehouse"]
	b.click("#out")
	b.picture("sign-out")
	b.sees("Sign out")
	// Looking at the page signs nobody out.
	s.visitorWith(map[string]string{"gatehouse": token}).get("/").must(t, 200)
	b.click("main form button")
	b.picture("signed-out")
	if b.open("/"); b.path() != "/_gatehouse/login?return_to=%2F" {
		t.Errorf("after signing out the app is open: %s", b.path())
	}
	// Who has kept the cookie has nothing.
	s.visitorWith(map[string]string{"gatehouse": token}).get("/").must(t, 302)
}

func TestTwoTabs(t *testing.T) {
	s := start(t, plan{})
	alice, bob := person("alice"), person("bob")
	one := s.browser()
	one.open("/one")
	two := one.tab()
	two.open("/two")
	one.enter("#email", alice)
	two.enter("#email", bob)
	// Each tab goes on with its own sign-in, whichever began later.
	if one.enter("#code", mails.NextTo(t, alice).Code(t)); one.path() != "/one" {
		t.Errorf("the first tab is at %s", one.path())
	}
	one.sees(alice)
	two.sees(alice) // it has looked again, and says whose session bob's would replace
	if two.enter("#code", mails.NextTo(t, bob).Code(t)); two.path() != "/two" {
		t.Errorf("the second tab is at %s", two.path())
	}
	two.sees(bob)
}

// A tab whose own answer is on its way is not led elsewhere by what another tab
// says; but it looks again when no answer has come.
func TestTabAwaitsItsOwnAnswer(t *testing.T) {
	s := start(t, plan{})
	one := s.browser()
	one.open("/")
	one.enter("#email", person("alice"))
	two := one.tab()
	two.open("/_gatehouse/code")
	two.eval(`document.addEventListener('submit', e => e.preventDefault()),
		new BroadcastChannel('gatehouse').onmessage = () => document.title = 'told',
		document.querySelector('[data-proof]').requestSubmit(), 1`)
	one.eval(`new BroadcastChannel('gatehouse').postMessage(1), 1`)
	within(t, patience, "the tab is told", func() bool { return two.eval(`document.title`) == "told" })
	if two.path() != "/_gatehouse/code" {
		t.Errorf("the tab has gone to %s", two.path())
	}
	within(t, patience, "the tab looks again", func() bool { return strings.HasPrefix(two.path(), "/_gatehouse/code?flow=") })
}

func TestWithoutJavaScript(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	b := s.browser().withoutScripts()
	b.open("/report")
	b.enter("#email", alice)
	m := mails.NextTo(t, alice)
	if status := b.enter("#code", wrong(m.Code(t))); status != 422 {
		t.Fatalf("a wrong code: %d", status)
	}
	mail := b.tab().withoutScripts()
	if status := mail.open(m.Link(t)); status != 200 {
		t.Fatalf("the link: %d", status)
	}
	mail.picture("link")
	if mail.click("main form button"); mail.path() != "/report" {
		t.Errorf("the button on the link's page led to %s", mail.path())
	}
	mail.sees(alice)
	if status := b.enter("#code", m.Code(t)); status != 410 {
		t.Errorf("a code whose link was used: %d", status)
	}
	b.picture("used")
	b.sees("Go to ")
	mail.open("/_gatehouse/logout")
	mail.click("main form button")
	if mail.open("/"); mail.path() != "/_gatehouse/login?return_to=%2F" {
		t.Errorf("after signing out the app is open: %s", mail.path())
	}
}

// The page of the example shows what an app would get, and signs out.
func TestWhoAmI(t *testing.T) {
	s := start(t, plan{site: "gatehouse any\ngatehouse_whoami"})
	alice := person("alice")
	b := s.browser()
	b.signIn(alice)
	b.sees("Remote-Email")
	b.picture("who-am-i")
	b.click("button")
	if b.path() == "/_gatehouse/logout" {
		b.picture("who-am-i-out")
	}
	if b.open("/"); b.path() != "/_gatehouse/login?return_to=%2F" {
		t.Errorf("after signing out the page is open: %s", b.path())
	}
}
