package pages

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// refusal is the page that a visitor gets whom a gate at o refuses.
func (h *house) refusal(v Visit, pr Problem) string {
	h.Helper()
	w := httptest.NewRecorder()
	pr.Kind, pr.For = screen.NotAllowed, origin.ParseReturnTo("/admin/x", v.Origin, nil)
	h.pages.Problem(w, httptest.NewRequest("GET", "/admin/x", nil), v, pr)
	if w.Code != http.StatusForbidden {
		h.Errorf("status %d", w.Code)
	}
	return w.Body.String()
}

// TestRefusalSaysWhatIsClosed: the part that is, in the words of the configuration
// and never in those of the request; and only ways out that are open.
func TestRefusalSaysWhatIsClosed(t *testing.T) {
	front := true
	h := newHouse(t, func(_ *authcore.Config, c *Config) {
		c.Passes = func(*session.Session, origin.ReturnTo, netip.Addr) bool { return front }
	})
	b := h.browser()
	b.signIn("alice@example.com")
	s, err := h.service.Sessions().Find(t.Context(), []string{b.cookie("__Host-gatehouse").Value}, h.origin)
	check(t, err)
	auth := mustOrigin(t, "https://auth.example.com")
	here := Visit{Origin: h.origin, Session: s, Account: Account{Whole: true}}
	led := Visit{Origin: h.origin, Session: s, Portal: auth, Account: Account{At: auth}}
	portal := Visit{Origin: h.origin, Session: s, IsPortal: true, Account: Account{Whole: true}}
	const home = `href="/">Go to `
	for name, c := range map[string]struct {
		front      bool
		visit      Visit
		problem    Problem
		want, none []string
	}{
		"all of a site": {false, here, Problem{},
			[]string{"have access to <bdi>app.example.com</bdi>.", `href="/_gatehouse/account"`, `href="/_gatehouse/logout"`, `href="/_gatehouse/login?return_to=%2Fadmin%2Fx"`},
			[]string{home, "Your sites", "this part"}},
		"a part with a name": {true, here, Problem{Part: "/admin"},
			[]string{`have access to <bdi dir="ltr">/admin</bdi> at <bdi>app.example.com</bdi>.`, home}, []string{"Your sites"}},
		"a part without": {true, here, Problem{Some: true}, []string{"have access to this part of <bdi>app.example.com</bdi>.", home}, nil},
		"a part, and the front page is closed, too": {false, here, Problem{Part: "/admin"}, []string{">/admin<"}, []string{home}},
		"with a portal": {true, led, Problem{Part: "/admin"},
			[]string{home, `href="https://auth.example.com/">Your sites`, `href="https://auth.example.com/_gatehouse/account"`, `href="https://auth.example.com/_gatehouse/login?return_to=`}, nil},
		"at a portal": {true, portal, Problem{}, []string{`href="/">Your sites`}, nil},
		"of another proxy": {false, led, Problem{SignIn: auth},
			[]string{`href="https://auth.example.com/">Your sites`, `href="https://auth.example.com/_gatehouse/logout"`}, []string{home}},
		"of another proxy, signing in at an app": {false, Visit{Origin: h.origin, Session: s}, Problem{SignIn: auth},
			[]string{`href="https://auth.example.com/_gatehouse/account"`}, []string{"Your sites"}},
		"of an app": {true, portal, Problem{App: "Shop", Here: "/oauth2/authorize", Back: "/back"},
			[]string{"have access to <bdi>Shop</bdi>.", `href="/back">Cancel and go back to Shop`}, []string{home}},
		"of nobody": {true, Visit{Origin: h.origin}, Problem{}, nil, []string{home, "account"}},
	} {
		front = c.front
		page := h.refusal(c.visit, c.problem)
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: no %s in\n%s", name, want, page)
			}
		}
		for _, none := range append(c.none, "admin/x<", "admin/x ") {
			if strings.Contains(page, none) {
				t.Errorf("%s: %s in\n%s", name, none, page)
			}
		}
	}
}

// TestAccountIsFoundAndLeadsBack: from where people are when they look for it, and
// back to where they can go on.
func TestAccountIsFoundAndLeadsBack(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	b.get("/_gatehouse/logout")
	b.wants(http.StatusOK, `href="/_gatehouse/account">Your account`)
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, `<a href="/">Go to <bdi>app.example.com`)
	h.portal = true
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, `<a href="/">Your sites</a>`)
	h.account, h.portal = Account{At: mustOrigin(t, "https://auth.example.com")}, false
	b.get("/_gatehouse/logout")
	b.wants(http.StatusOK, `href="https://auth.example.com/_gatehouse/account">Your account`)
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, `<a href="/">Go to <bdi>app.example.com`, `href="https://auth.example.com/_gatehouse/account"`)
	b.post("/_gatehouse/logout")
	b.get("/_gatehouse/logout")
	if b.wants(http.StatusOK); strings.Contains(b.body, "/account") {
		t.Error("the account is offered to nobody")
	}
}

// TestLauncher: what a person uses most stands first, others by name; with pictures
// where there are some.
func TestLauncher(t *testing.T) {
	look, err := screen.NewLook(screen.Brand{})
	check(t, err)
	picture, err := look.Picture(file(t, "icon", picture1(t, func(b *bytes.Buffer, i image.Image) error { return png.Encode(b, i) })))
	check(t, err)
	a, c, d := mustOrigin(t, "https://a.example.com"), mustOrigin(t, "https://c.example.com"), mustOrigin(t, "https://d.example.com")
	look.Sites(func(o origin.Origin) screen.Site {
		return map[origin.Origin]screen.Site{c: {Title: "Calendar", Picture: picture}, d: {Title: "Wörter"}}[o]
	})
	h := newHouse(t, func(_ *authcore.Config, c *Config) { c.Look = look })
	h.portal = true
	b := h.browser()
	b.signIn("alice@example.com")
	s, err := h.service.Sessions().Find(t.Context(), []string{b.cookie("__Host-gatehouse").Value}, h.origin)
	check(t, err)
	shown := func() (order string) {
		t.Helper()
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		h.pages.Sites(w, r, Visit{Origin: h.origin, Session: s, IsPortal: true, Account: Account{Whole: true}}, []origin.Origin{a, h.origin, c, d}, nil)
		for _, want := range []string{
			`<a href="https://c.example.com/"><img src="` + picture + `" alt=""><span><bdi>Calendar</bdi><small dir="ltr">c.example.com</small></span></a>`,
			`<a href="https://d.example.com/"><b aria-hidden="true">W</b><span><bdi>Wörter</bdi><small`,
			`<a href="https://a.example.com/"><b aria-hidden="true">A</b><span><bdi>a.example.com</bdi></span></a>`,
			`href="/_gatehouse/account"`, `href="/_gatehouse/logout"`,
		} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %s in\n%s", want, w.Body)
			}
		}
		if strings.Contains(w.Body.String(), `<a href="`+h.origin.String()+`/">`) {
			t.Error("the portal lists itself")
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "img-src data: "+h.origin.String()+"/_gatehouse/;") {
			t.Errorf("the policy admits no picture: %s", policy)
		}
		for _, part := range strings.Split(w.Body.String(), `<a href="https://`)[1:] {
			order += part[:1]
		}
		return order
	}
	if got := shown(); got != "acd" {
		t.Errorf("at first: %s", got)
	}
	for _, o := range slices.Repeat([]origin.Origin{d, d, c}, 2) {
		h.service.Sessions().Opened(s, o)
		h.nextMinute()
	}
	if got := shown(); got != "dca" {
		t.Errorf("by use: %s", got)
	}
	h.core.Sessions().Flush(t.Context())
	if got := shown(); got != "dca" {
		t.Errorf("by use, once it is written: %s", got)
	}
	b.get(picture)
	b.wants(http.StatusOK, "PNG")
	if got := b.last.Header.Get("Content-Type"); got != "image/png" {
		t.Errorf("the picture comes as %s", got)
	}
}

// TestLauncherShowsApps: apps that people sign in to stand among the sites, by use, but
// not twice where a gate stands before the app.
func TestLauncherShowsApps(t *testing.T) {
	refused := ""
	h := newHouse(t, func(_ *authcore.Config, c *Config) {
		c.Passes = func(_ *session.Session, to origin.ReturnTo, _ netip.Addr) bool { return to.String() != refused }
	})
	h.portal = true
	b := h.browser()
	b.signIn("alice@example.com")
	s, err := h.service.Sessions().Find(t.Context(), []string{b.cookie("__Host-gatehouse").Value}, h.origin)
	check(t, err)
	a, c, x := mustOrigin(t, "https://a.example.com"), mustOrigin(t, "https://c.example.com"), mustOrigin(t, "https://x.example.com")
	apps := []App{
		{Name: "Cameras <1>", At: c, URL: "https://c.example.com/login?iss=https%3A%2F%2Fauth.example.com"},
		{Name: "Behind a gate", At: x, URL: "https://x.example.com/login"},
	}
	shown := func(open []origin.Origin) (order string) {
		t.Helper()
		w := httptest.NewRecorder()
		h.pages.Sites(w, httptest.NewRequest("GET", "/", nil), Visit{Origin: h.origin, Session: s, IsPortal: true, Account: Account{Whole: true}}, open, apps)
		want := `<a href="https://c.example.com/login?iss=https%3A%2F%2Fauth.example.com"><b aria-hidden="true">C</b><span><bdi>Cameras &lt;1&gt;</bdi><small dir="ltr">c.example.com</small></span></a>`
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
		for _, part := range strings.Split(w.Body.String(), `<a href="https://`)[1:] {
			order += part[:1]
		}
		return order
	}
	if got := shown([]origin.Origin{a, x}); got != "acx" {
		t.Errorf("at first: %s", got)
	}
	h.service.Sessions().Opened(s, c)
	h.nextMinute()
	if got := shown([]origin.Origin{a, x}); got != "cax" {
		t.Errorf("by use: %s", got)
	}
	if got := shown(nil); got != "cx" {
		t.Errorf("without a site: %s", got)
	}
	refused = "https://x.example.com/login"
	if got := shown(nil); got != "c" {
		t.Errorf("with one behind a gate that refuses the person: %s", got)
	}
}

// TestSignInPageSaysWhyItIsShown: to a browser whose session somebody else has
// ended, and to no other.
func TestSignInPageSaysWhyItIsShown(t *testing.T) {
	const byOperator, byOwner = "has signed you out here", "out from another one"
	for name, c := range map[string]struct {
		end  func(h *house, sid, sub string) error
		want string
	}{
		"an operator, one": {func(h *house, sid, _ string) error {
			_, err := h.core.Sessions().End(h.Context(), sid, session.RevokedByOperator)
			return err
		}, byOperator},
		"an operator, a person's": {func(h *house, _, sub string) error {
			_, err := h.core.Sessions().EndPerson(h.Context(), sub, session.RevokedByOperator)
			return err
		}, byOperator},
		"the person elsewhere": {func(h *house, _, sub string) error {
			_, err := h.core.Sessions().EndPerson(h.Context(), sub, session.EndedByOwner)
			return err
		}, byOwner},
		"the person, at another site": {func(h *house, sid, _ string) error {
			_, err := h.core.Sessions().End(h.Context(), sid, session.SignedOut)
			return err
		}, ""},
		"time": {func(h *house, _, _ string) error {
			h.advance(25 * time.Hour)
			return nil
		}, ""},
	} {
		h := newHouse(t)
		b := h.browser()
		b.signIn("alice@example.com")
		who := b.session()
		check(t, c.end(h, who.Session, who.Subject))
		b.get("/_gatehouse/login")
		b.wants(http.StatusOK, c.want)
		for _, other := range []string{byOperator, byOwner} {
			if other != c.want && strings.Contains(b.body, other) {
				t.Errorf("%s: the page says %q", name, other)
			}
		}
		h.nextMinute()
		b.signIn("alice@example.com")
		b.post("/_gatehouse/logout")
		stranger := h.browser()
		for _, v := range []*browser{b, stranger} {
			if v.get("/_gatehouse/login"); strings.Contains(v.body, byOperator) || strings.Contains(v.body, byOwner) {
				t.Errorf("%s: the page still says so", name)
			}
		}
	}
}
