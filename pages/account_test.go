package pages

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// session is the visitor's session as the server has it, nil for none.
func (b *browser) session() *whoAmI {
	b.h.Helper()
	if b.get("/_gatehouse/session").StatusCode != http.StatusOK {
		return nil
	}
	var who whoAmI
	check(b.h.T, json.Unmarshal([]byte(b.body), &who))
	return &who
}

// nextMinute lets another mail be asked for.
func (h *house) nextMinute() { h.advance(61 * time.Second) }

func TestAccountLeadsToLogin(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	const login = "/_gatehouse/login?return_to=%2F_gatehouse%2Faccount"
	b.get("/_gatehouse/account")
	b.wantsTo(login)
	for _, path := range []string{"name", "sessions/end-all", "sessions/x/end", "export", "delete"} {
		b.post("/_gatehouse/account/" + path)
		b.wantsTo(login)
	}
	b.get(login)
	b.wants(http.StatusOK, `name="return_to" value="/_gatehouse/account"`)
	b.post("/_gatehouse/login", "email", "alice@example.com", "return_to", "/_gatehouse/account")
	b.post("/_gatehouse/code", "code", h.mail().Code)
	b.wantsTo("/_gatehouse/account")
}

func TestAccountShowsSessions(t *testing.T) {
	h := newHouse(t)
	desk, phone := h.browser(), h.browser()
	phone.headers.Set("User-Agent", "Mozilla/5.0 (iPhone) Safari/600")
	phone.signIn("alice@example.com")
	h.nextMinute()
	desk.signIn("alice@example.com")
	h.mail() // that a new browser was used
	desk.get("/_gatehouse/account")
	desk.wants(http.StatusOK, "Firefox on Windows", "Safari on iOS", "203.0.113.x", "app.example.com", "Sign out everywhere", "2026-11-21 14:26 UTC")
	first, second, _ := strings.Cut(desk.body, "/end\"")
	if !strings.Contains(first, desk.session().Session) || !strings.Contains(second, phone.session().Session) {
		t.Error("this browser is not the first")
	}
	desk.get("/_gatehouse/account")
	if n := strings.Count(desk.body, "This browser"); n != 1 {
		t.Errorf("%d sessions are this browser's", n)
	}
	phone.get("/_gatehouse/account")
	phone.wants(http.StatusOK, "This browser")
}

func TestAccountEndsOne(t *testing.T) {
	h := newHouse(t)
	desk, phone, bob := h.browser(), h.browser(), h.browser()
	phone.signIn("alice@example.com")
	h.nextMinute()
	desk.signIn("alice@example.com")
	h.mail()
	bob.signIn("bob@example.com")
	end := func(sid string) string { return "/_gatehouse/account/sessions/" + sid + "/end" }

	// Another person's session can't be ended, whatever its id.
	desk.post(end(bob.session().Session))
	desk.wantsTo("/_gatehouse/account?ended")
	if bob.session() == nil {
		t.Fatal("somebody ended another's session")
	}
	// Nor by another site's page, nor by a link.
	desk.headers.Set("Sec-Fetch-Site", "cross-site")
	desk.post(end(phone.session().Session))
	desk.wants(http.StatusForbidden)
	desk.headers.Set("Sec-Fetch-Site", "same-origin")
	desk.get(end("x"))
	desk.wants(http.StatusMethodNotAllowed)
	if phone.session() == nil {
		t.Fatal("a session ended without its owner's wish")
	}
	desk.post(end(phone.session().Session))
	desk.wantsTo("/_gatehouse/account?ended")
	desk.get("/_gatehouse/account?ended")
	desk.wants(http.StatusOK, "Signed out there.")
	if phone.session() != nil || desk.session() == nil {
		t.Fatal("the wrong session ended")
	}
	desk.post(end(desk.session().Session)) // its own: that is signing out
	desk.wantsTo("/_gatehouse/logout")
	if desk.session() != nil {
		t.Fatal("the session goes on")
	}
}

func TestAccountEndsAll(t *testing.T) {
	h := newHouse(t)
	var all []*browser
	for range 3 {
		b := h.browser()
		b.signIn("alice@example.com")
		if len(all) > 0 {
			h.mail()
		}
		all = append(all, b)
		h.nextMinute()
	}
	all[2].post("/_gatehouse/account/sessions/end-all", "keep", "on")
	all[2].wantsTo("/_gatehouse/account?ended_others")
	if all[0].session() != nil || all[1].session() != nil || all[2].session() == nil {
		t.Fatal("not exactly the others ended")
	}
	h.advance(time.Hour) // no fresh sign-in is needed
	all[2].post("/_gatehouse/account/sessions/end-all")
	all[2].wantsTo("/_gatehouse/logout")
	if all[2].session() != nil {
		t.Fatal("the session goes on")
	}
}

// On an app's own origin its scripts read the page and send its forms: they get
// this browser's session, and nothing else that is the person's.
func TestAccountOnAnAppsOrigin(t *testing.T) {
	for name, at := range map[string]string{"with a portal": "https://auth.example.com", "without": ""} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			desk, phone := h.browser(), h.browser()
			phone.headers.Set("User-Agent", "Mozilla/5.0 (iPhone) Safari/600")
			phone.signIn("alice@example.com")
			h.nextMinute()
			desk.signIn("alice@example.com")
			h.mail()
			if h.account = (Account{}); at != "" {
				h.account.At = mustOrigin(t, at)
			}
			this, its := desk.session().Session, phone.session().Session
			desk.get("/_gatehouse/account")
			desk.wants(http.StatusOK, "only this browser", "This browser", "Firefox on Windows", this)
			for _, other := range []string{"Safari", its, "Recent sign-ins", "/export", "/delete", "/name", "end-all"} {
				if strings.Contains(desk.body, other) {
					t.Errorf("the page shows %q", other)
				}
			}
			if strings.Contains(desk.body, `href="https://auth.example.com/_gatehouse/account"`) != (at != "") {
				t.Errorf("the link to the portal:\n%s", desk.body)
			}
			for path, fields := range map[string][]string{
				"name": {"name", "Mallory"}, "export": nil, "delete": {"sure", "on"}, "sessions/end-all": nil,
				"sessions/" + its + "/end": nil, "sessions/x/end": nil,
			} {
				desk.post("/_gatehouse/account/"+path, fields...)
				desk.wants(http.StatusForbidden, "be done on this site")
			}
			if phone.session() == nil || desk.session() == nil || desk.session().Name != "" {
				t.Fatal("a form has changed something")
			}
			desk.post("/_gatehouse/account/sessions/" + this + "/end")
			desk.wantsTo("/_gatehouse/logout")
			if desk.session() != nil || phone.session() == nil {
				t.Error("not exactly this browser's session has ended")
			}
			desk.get("/_gatehouse/account")
			desk.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount")
		})
	}
}

func TestAccountShowsBlockedSignIns(t *testing.T) {
	h := newHouse(t)
	b, stranger := h.browser(), h.browser()
	b.signIn("alice@example.com")
	h.nextMinute()
	stranger.headers.Set("User-Agent", "curl/8")
	code := stranger.start("alice@example.com").Code
	for range 5 {
		stranger.post("/_gatehouse/code", "code", wrong(code))
	}
	stranger.post("/_gatehouse/login", "email", "alice@example.com") // too soon
	stranger.wants(http.StatusTooManyRequests)
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, "Recent sign-ins", "Stopped after too many wrong codes", "Blocked: no email was sent", "<b>Signed in</b>", "curl")
}

func TestAccountRename(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	b.post("/_gatehouse/account/name", "name", "  Alice <b>  Doe ")
	b.wantsTo("/_gatehouse/account?saved")
	b.get("/_gatehouse/account?saved")
	b.wants(http.StatusOK, "Your name is saved.", "Alice &lt;b&gt; Doe")
	if who := b.session(); who.Name != "Alice <b> Doe" {
		t.Errorf("%q", who.Name)
	}
	for _, bad := range []string{"a\x00b", "a\u202eb", strings.Repeat("x", 101)} {
		b.post("/_gatehouse/account/name", "name", bad)
		b.wants(http.StatusUnprocessableEntity, "at most 100 characters")
	}
	if who := b.session(); who.Name != "Alice <b> Doe" {
		t.Errorf("%q", who.Name)
	}
	b.post("/_gatehouse/account/name", "name", "")
	b.wantsTo("/_gatehouse/account?saved")
	if who := b.session(); who.Name != "" {
		t.Errorf("%q", who.Name)
	}
}

func TestAccountExport(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	who := b.session()
	b.post("/_gatehouse/account/export")
	b.wants(http.StatusOK, who.Subject, "alice@example.com", who.Session, `"used"`)
	if got := b.last.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment") {
		t.Error(got)
	}
	var data ownData
	check(t, json.Unmarshal([]byte(b.body), &data))
	if len(data.Sessions) != 1 || len(data.Attempts) != 1 {
		t.Errorf("%+v", data)
	}
	for _, c := range b.jar.Cookies(b.url("/")) {
		if strings.Contains(b.body, c.Value) {
			t.Error("the export holds a cookie")
		}
	}
	h.advance(5 * time.Minute)
	b.post("/_gatehouse/account/export")
	b.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount&max_age=300")
	b.get(b.last.Header.Get("Location"))
	b.wants(http.StatusOK, "confirm that it&#39;s you", `value="alice@example.com"`)
}

func TestAccountDelete(t *testing.T) {
	h := newHouse(t)
	b, other := h.browser(), h.browser()
	other.signIn("alice@example.com")
	h.nextMinute()
	b.signIn("alice@example.com")
	h.mail()
	b.post("/_gatehouse/account/delete")
	b.wants(http.StatusUnprocessableEntity, "Tick the box")
	h.advance(5 * time.Minute)
	b.post("/_gatehouse/account/delete", "sure", "on")
	b.wantsTo("/_gatehouse/login?return_to=%2F_gatehouse%2Faccount&max_age=300")
	if b.session() == nil {
		t.Fatal("deleted without a fresh sign-in")
	}
	b.signIn("alice@example.com")
	b.post("/_gatehouse/account/delete", "sure", "on")
	b.wantsTo("/_gatehouse/logout")
	if b.session() != nil || other.session() != nil {
		t.Fatal("a session goes on")
	}
	if a, err := h.core.Account(t.Context(), "alice@example.com"); err != nil || a != nil {
		t.Fatal("the account is still there", err)
	}
}

func TestAccountWhileTheStoreFails(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("alice@example.com")
	h.store.fail(true)
	for _, path := range []string{"name", "sessions/end-all", "export"} {
		b.post("/_gatehouse/account/" + path)
		b.wants(http.StatusServiceUnavailable)
	}
	b.get("/_gatehouse/account")
	b.wants(http.StatusServiceUnavailable)
}

func TestPublicComputer(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/login")
	b.wants(http.StatusOK, `name="public"`)
	b.post("/_gatehouse/login", "email", "nonsense", "public", "on")
	b.wants(http.StatusUnprocessableEntity, `name="public" checked`)
	b.post("/_gatehouse/code", "code", b.start("alice@example.com", "public", "on").Code)
	b.wantsTo("/")
	c := b.cookie("__Host-gatehouse")
	if c == nil || c.MaxAge != 0 || !c.Expires.IsZero() {
		t.Fatalf("%v", c)
	}
	if b.cookie("__Host-gatehouse-device") != nil {
		t.Error("a public computer is remembered")
	}
	if c := b.cookie("__Host-gatehouse-flow"); c == nil || c.MaxAge >= 0 {
		t.Error("the next user sees who signed in")
	}
	b.get("/_gatehouse/account")
	b.wants(http.StatusOK, "Public computer")
	h.advance(59 * time.Minute)
	if b.session() == nil {
		t.Fatal("the session has ended too soon")
	}
	h.advance(time.Minute)
	if b.session() != nil {
		t.Fatal("the session lives longer than an hour")
	}
	other := h.browser() // an ordinary one
	other.signIn("bob@example.com")
	if c := other.cookie("__Host-gatehouse"); c == nil || c.MaxAge != int((7*24*time.Hour).Seconds()) {
		t.Errorf("%v", c)
	}
}
