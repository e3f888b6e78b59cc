package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// evaluate is what a script finds out about the page.
func (b *tab) evaluate(js string) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+js+")"))
	if err != nil {
		b.Fatalf("%s: %v", js, err)
	}
	return text
}

// TestAccount: somebody looks at where they are signed in, ends one, changes
// their name, takes their data away and deletes it, by forms alone.
func TestAccount(t *testing.T) {
	s := start(t, plan{})
	alice := person("alice")
	phone := s.browser()
	phone.signIn(alice)
	desk := s.browser().withoutScripts()
	desk.signIn(alice)
	desk.open("/_gatehouse/account")
	desk.sees("Where you're signed in")
	text := desk.text()
	this := strings.Index(text, "This browser")
	if n := strings.Count(text, "This browser"); n != 1 || this > strings.LastIndex(text, "Signed in with a code:") {
		t.Errorf("%d sessions are this browser's, the first at %d:\n%s", n, this, text)
	}
	for _, want := range []string{"Chrome on Linux", "Signed in with a code:", "Last active:", "Sites: localhost:" + s.port, "Recent sign-ins", "Sign out everywhere"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q:\n%s", want, text)
		}
	}
	if got := phone.open("/_gatehouse/account"); got != http.StatusOK {
		t.Fatal(got)
	}
	phone.sees("Last active: now") // with a script as people say it
	if title := phone.evaluate(`document.querySelector('time').title`); !strings.HasSuffix(title, " UTC") {
		t.Errorf("the time itself is %q", title)
	}
	phone.picture("account")

	// The second form is the other browser's.
	if desk.click("main form:nth-of-type(2) button"); desk.path() != "/_gatehouse/account?ended" {
		t.Fatalf("after ending one: %s", desk.path())
	}
	desk.sees("Signed out there.")
	desk.picture("account-ended")
	if phone.open("/phone"); !strings.HasPrefix(phone.path(), "/_gatehouse/login") {
		t.Errorf("the other browser is at %s", phone.path())
	}
	desk.enter("#name", "Alice Doe")
	desk.sees("Your name is saved.")
	desk.click("main form[action$=delete] button")
	desk.sees("Tick the box")
	desk.do("ticking the box", chromedp.Click(chromedp.CSS("[name=sure]")))
	if desk.click("main form[action$=delete] button"); desk.path() != "/_gatehouse/logout" {
		t.Errorf("after deleting: %s", desk.path())
	}
	desk.picture("account-deleted")
	if desk.open("/desk"); !strings.HasPrefix(desk.path(), "/_gatehouse/login") {
		t.Errorf("after deleting the browser is at %s", desk.path())
	}
}
