package pages

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

func TestSignInByCode(t *testing.T) {
	b := newHouse(t).browser()
	b.get("/_gatehouse/login?return_to=/docs?a=1")
	b.wants(200, `value="/docs?a=1"`, "<h1>Sign in</h1>")
	m := b.start("alice@example.com", "return_to", "/docs?a=1")
	b.get("/_gatehouse/code")
	b.wants(200, `<b><bdi dir="ltr">alice@example.com</bdi></b>`, `autocomplete="one-time-code"`)
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/docs?a=1")
	b.get("/_gatehouse/session")
	b.wants(200, `"email":"alice@example.com"`, `"amr":["email","otp"]`)
}

func TestEveryWayOfPastingACode(t *testing.T) {
	for _, paste := range []func(string) string{
		func(c string) string { return c[:3] + " " + c[3:] },
		func(c string) string { return c[:3] + "-" + c[3:] },
		func(c string) string { return c[:3] + "\u00a0" + c[3:] },
		func(c string) string { return c[:3] + "\u200b" + c[3:] },
		func(c string) string { return "\n" + c + "\r\n" },
		func(c string) string { return "Your code is " + c + "." },
		func(c string) string { return strings.Map(func(r rune) rune { return r - '0' + '٠' }, c) },
		func(c string) string { return strings.Map(func(r rune) rune { return r - '0' + '０' }, c) },
	} {
		b := newHouse(t).browser()
		b.post("/_gatehouse/code", "code", paste(b.start("alice@example.com").Code))
		b.wantsTo("/")
	}
}

func TestMalformedAddress(t *testing.T) {
	b := newHouse(t).browser()
	for email, says := range map[string]string{
		"":                       "Enter your email address",
		"alice":                  "Enter an email address like name@example.com",
		"a@example.com,b@x.test": "Enter an email address like name@example.com",
		`"><script>@example.com`: "&#34;&gt;&lt;script&gt;@example.com",
		"alice@example.com\r\nBcc: eve@evil.test": "Enter an email address",
	} {
		b.post("/_gatehouse/login", "email", email, "return_to", "/x")
		b.wants(422, says, "<title>Error: Sign in", `aria-invalid="true"`, `role="alert"`, `value="/x"`)
	}
}

func TestFiveWrongCodes(t *testing.T) {
	b := newHouse(t).browser()
	m := b.start("alice@example.com")
	b.post("/_gatehouse/code", "code", "12345")
	b.wants(422, "The code has 6 digits – you entered 5")
	b.post("/_gatehouse/code", "code", "")
	b.wants(422, "Enter the 6 digits")
	for left := 4; left > 0; left-- {
		b.post("/_gatehouse/code", "code", wrong(m.Code))
		b.wants(422, strconv.Itoa(left)+" tr", "Error: Check your email", `aria-invalid="true"`)
	}
	b.post("/_gatehouse/code", "code", wrong(m.Code))
	b.wants(429, "<h1>Too many wrong codes</h1>")
	wantRetryAfter(t, b.last)
	b.post("/_gatehouse/code", "code", m.Code)
	b.wants(429)
	b.get(linkPath(m))
	b.wants(410, "stopped after too many wrong codes")
	b.post(linkPath(m))
	b.wants(410)
}

func wantRetryAfter(t *testing.T, r *http.Response) {
	t.Helper()
	if n, err := strconv.Atoi(r.Header.Get("Retry-After")); err != nil || n < 1 {
		t.Fatalf("Retry-After is %q", r.Header.Get("Retry-After"))
	}
}

func TestCodesOff(t *testing.T) {
	h := newHouse(t, func(c *authcore.Config, _ *Config) {
		c.Limits.Failures = []limit.Rate{{Count: 1, Per: 24 * time.Hour}}
	})
	b := h.browser()
	b.post("/_gatehouse/code", "code", wrong(b.start("alice@example.com").Code))
	b.wants(429)
	h.advance(2 * time.Minute)
	other := h.browser()
	m := other.start("alice@example.com")
	if m.Code != "" || strings.Contains(m.Subject, "code") {
		t.Errorf("a mail that may carry no code says: %s", m.Subject)
	}
	other.get("/_gatehouse/code")
	other.wants(200, "Open the link in the email instead, in this browser.")
	other.post("/_gatehouse/code", "code", "000000")
	other.wants(429, "Open the link in the email instead")
	stranger := h.browser()
	stranger.get(linkPath(m))
	stranger.wants(200, "Open the link there.")
	other.post(linkPath(m))
	other.wantsTo("/")
}

func TestExpired(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	h.advance(11 * time.Minute)
	b.get("/_gatehouse/code")
	b.wants(200, "<h1>This code has expired</h1>", "Ask for a new one.")
	b.get(linkPath(m))
	b.wants(410, "This link has expired")
	b.post(linkPath(m))
	b.wants(410)
	b.post("/_gatehouse/code", "code", m.Code)
	b.wants(410, "We&#39;ve just sent you a new one.", `id="code"`)
	b.post("/_gatehouse/code", "code", h.mail().Code)
	b.wantsTo("/")
}

func TestExpiredAndNoNewMailYet(t *testing.T) {
	h := newHouse(t, func(c *authcore.Config, _ *Config) {
		c.Limits.PerRecipient = []limit.Rate{{Count: 1, Per: time.Hour}}
	})
	b := h.browser()
	m := b.start("alice@example.com")
	h.advance(11 * time.Minute)
	b.post("/_gatehouse/code", "code", m.Code)
	b.wants(410, "You can ask again in 49 minutes.")
}

func TestUsed(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com", "return_to", "/docs")
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/docs")
	b.post("/_gatehouse/code", "code", m.Code)
	b.wants(410, "<h1>This code has already been used</h1>", `href="/docs">Go to `)
	b.get(linkPath(m))
	b.wants(410, "This link has already been used", `href="/docs">Go to `)
	b.post(linkPath(m))
	b.wants(410)
	// The tab that still waits goes on by itself.
	b.get("/_gatehouse/code")
	b.wantsTo("/docs")
}

func TestResend(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	b.get("/_gatehouse/code")
	b.wants(200, `data-wait="60"`)
	b.post("/_gatehouse/resend")
	b.wants(429, "Too many emails for now. You can ask again in 1 minute.")
	wantRetryAfter(t, b.last)
	h.advance(time.Minute)
	b.post("/_gatehouse/resend")
	b.wantsTo("/_gatehouse/code?resent=1")
	again := h.mail()
	if again.Code != m.Code || again.Link != m.Link {
		t.Error("the mail that was sent again has another code or link")
	}
	if again.References == m.References || again.MessageID == m.MessageID {
		t.Error("two mails share References or Message-ID")
	}
	b.get("/_gatehouse/code?resent=1")
	b.wants(200, "Sent again to", `role="status"`)
}

func TestTwoTabs(t *testing.T) {
	b := newHouse(t).browser()
	first := b.start("alice@example.com", "return_to", "/first")
	b.get("/_gatehouse/code")
	_, rest, _ := strings.Cut(b.body, `name="flow" value="`)
	flow, _, _ := strings.Cut(rest, `"`)
	second := b.start("bob@example.com", "return_to", "/second")
	b.get("/_gatehouse/code?flow=" + flow)
	b.wants(200, "alice@example.com")
	b.post("/_gatehouse/code", "flow", flow, "code", first.Code)
	b.wantsTo("/first")
	b.get("/_gatehouse/code")
	b.wants(200, "bob@example.com", "instead of", "alice@example.com")
	b.post("/_gatehouse/code", "code", second.Code)
	b.wantsTo("/second")
}

func TestManyRightCodesAtOnce(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	got := map[int]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, b.request("POST", "/_gatehouse/code", "code="+m.Code))
			mu.Lock()
			got[w.Code]++
			mu.Unlock()
		})
	}
	all.Wait()
	if got[303] != 1 || got[410] != 199 {
		t.Errorf("of 200 right answers at once: %v, want one 303 and the rest 410", got)
	}
}

func TestNoFlow(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/code")
	b.wantsTo("/_gatehouse/login")
	// A browser that keeps no cookies learns why it is back where it began.
	b.headers.Set("Referer", "https://app.example.com/_gatehouse/login?return_to=%2Fx")
	b.get("/_gatehouse/code")
	b.wantsTo("/_gatehouse/login?start_over=1")
	b.get("/_gatehouse/login?start_over=1")
	b.wants(200, "allow cookies", `role="status"`, "start_over=1&amp;ui_locales=de")
	b.headers.Del("Referer")
	for _, path := range []string{"/_gatehouse/code", "/_gatehouse/resend"} {
		b.post(path, "code", "123456")
		b.wants(400, "Please start again", "allow cookies")
	}
	b.signIn("alice@example.com")
	signedIn := h.browser()
	signedIn.jar.SetCookies(b.url("/"), nil)
	for _, c := range b.jar.Cookies(b.url("/")) {
		if c.Name == "__Host-gatehouse" {
			signedIn.headers.Set("Cookie", c.Name+"="+c.Value)
		}
	}
	signedIn.get("/_gatehouse/code")
	signedIn.wantsTo("/")
}

func TestOutage(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	m := b.start("alice@example.com")
	b.get("/_gatehouse/code") // the first time it need not be read
	h.store.fail(true)
	for _, try := range []func(){
		func() { b.post("/_gatehouse/login", "email", "bob@example.com") },
		func() { b.get("/_gatehouse/code") },
		func() { b.post("/_gatehouse/code", "code", m.Code) },
		func() { b.post("/_gatehouse/resend") },
		func() { b.get(linkPath(m)) },
		func() { b.post(linkPath(m)) },
	} {
		try()
		b.wants(503, "Not possible right now", "tell whoever runs this site")
		wantRetryAfter(t, b.last)
		if strings.Contains(b.body, "room left") {
			t.Error("the page shows internal text")
		}
	}
	h.store.fail(false)
	b.post("/_gatehouse/code", "code", m.Code)
	b.wantsTo("/")
}

func TestMailIsDown(t *testing.T) {
	h := newHouse(t)
	h.outbox.breakDown()
	b := h.browser()
	b.post("/_gatehouse/login", "email", "alice@example.com")
	b.wantsTo("/_gatehouse/code") // the start that meets the failure
	for deadline := time.Now().Add(20 * time.Second); ; {
		if b.post("/_gatehouse/login", "email", "bob@example.com"); b.last.StatusCode == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("mail is down and starts are still accepted")
		}
	}
	b.wants(503, "We can&#39;t send email right now.", `value="bob@example.com"`)
	wantRetryAfter(t, b.last)
	b.post("/_gatehouse/login", "email", "eve@nowhere.test")
	b.wants(503, "We can&#39;t send email right now.")
	b.get("/_gatehouse/code")
	b.wants(200, "We can&#39;t send email right now.")
	b.post("/_gatehouse/resend")
	b.wants(503, "We can&#39;t send email right now.")
	wantRetryAfter(t, b.last)
}

func TestLimits(t *testing.T) {
	h := newHouse(t)
	for _, email := range []string{"alice@example.com", "eve@nowhere.test"} {
		h.browser().post("/_gatehouse/login", "email", email)
		b := h.browser()
		b.post("/_gatehouse/login", "email", email)
		b.wants(429, "Too many sign-in emails for now. Try again in 1 minute.", email)
		wantRetryAfter(t, b.last)
	}
}

func TestLogout(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.get("/_gatehouse/logout")
	b.wants(200, "You&#39;re signed out")
	b.signIn("alice@example.com")
	session := b.cookie("__Host-gatehouse").Value
	b.get("/_gatehouse/logout")
	b.wants(200, "Sign out of app.example.com?", "alice@example.com")
	b.get("/_gatehouse/session")
	b.wants(200)
	b.post("/_gatehouse/logout")
	b.wantsTo("/_gatehouse/logout")
	if c := b.cookie("__Host-gatehouse"); c == nil || c.MaxAge >= 0 {
		t.Errorf("signing out leaves the cookie: %v", c)
	}
	b.get("/_gatehouse/session")
	b.wants(401, `"error":"login_required"`)
	b.headers.Set("Cookie", "__Host-gatehouse="+session)
	b.get("/_gatehouse/session")
	b.wants(401) // ended on the server, not only forgotten here
}

// Signing out ends every session whose cookie came along, whichever spelling of the
// name it has: people leave no other behind on a shared computer.
func TestLogoutEndsAllThatCameAlong(t *testing.T) {
	for _, name := range []string{"gatehouse", "__Secure-gatehouse", "__Host-gatehouse"} {
		h := newHouse(t)
		other := h.browser()
		other.signIn("bob@example.com")
		cookie := ""
		for _, c := range other.jar.Cookies(other.url("/")) {
			if c.Name == "__Host-gatehouse" {
				cookie = c.Value
			}
		}
		b := h.browser()
		b.signIn("alice@example.com")
		b.headers.Set("Cookie", name+"="+cookie)
		b.post("/_gatehouse/logout")
		b.wants(http.StatusSeeOther)
		other.get("/_gatehouse/session")
		other.wants(http.StatusUnauthorized)
	}
}

func TestLogoutWhenItCantBeTold(t *testing.T) {
	outages := map[string]func(*brokenStore, bool){"lost": (*brokenStore).fail, "full": (*brokenStore).fill}
	for name, form := range map[string][]string{"everywhere": nil, "only here": {"only", "here"}} {
		for outage, set := range outages {
			t.Run(name+", "+outage, func(t *testing.T) {
				h := newHouse(t)
				b := h.browser()
				b.headers.Set("Cookie", "__Host-gatehouse="+h.handedOver("alice@example.com"))
				b.get("/_gatehouse/session")
				b.wants(200)
				set(h.store, true)
				b.post("/_gatehouse/logout", form...)
				b.wants(503)
				if len(b.last.Cookies()) != 0 {
					t.Error("the cookie is gone while the session lives")
				}
				set(h.store, false)
				b.post("/_gatehouse/logout", form...)
				b.wants(303)
				if c := b.cookie("__Host-gatehouse"); c == nil || c.MaxAge >= 0 {
					t.Errorf("signing out leaves the cookie: %v", c)
				}
			})
		}
	}
}

// handedOver is the cookie of a session here that the portal at wiki has handed over.
func (h *house) handedOver(email string) string {
	h.Helper()
	here := h.origin
	h.origin = mustOrigin(h.T, "https://wiki.example.com")
	b := h.browser()
	b.signIn(email)
	sessions := h.service.Sessions()
	portal := session.Browser{Origin: h.origin, Client: netip.MustParseAddr("203.0.113.9")}
	var err error
	portal.Session, err = sessions.Check(h.Context(), b.cookie("__Host-gatehouse").Value, h.origin)
	check(h.T, err)
	h.origin = here
	site := session.Browser{Origin: here, Client: portal.Client}
	mark, state := sessions.HandoverState(site)
	site.Flow = mark
	ticket, _, err := sessions.GiveTicket(h.Context(), portal, session.Handover{Site: here, ReturnTo: origin.ParseReturnTo("/", here, nil), State: state})
	check(h.T, err)
	taken, err := sessions.TakeTicket(h.Context(), site, ticket)
	check(h.T, err)
	if taken.Session == nil {
		h.Fatal(taken.Verdict)
	}
	return taken.Token
}

func TestLoginWhileSignedIn(t *testing.T) {
	b := newHouse(t).browser()
	b.signIn("alice@example.com")
	b.get("/_gatehouse/login?return_to=/docs")
	b.wants(200, "Continue as", `href="/docs"`, "alice@example.com")
	b.get("/_gatehouse/login?return_to=/docs&max_age=300")
	b.wants(200, `value="alice@example.com"`, "confirm that it&#39;s you")
	if strings.Contains(b.body, "Continue as") {
		t.Error("a site that wants a fresh sign-in is answered with Continue as")
	}
}

func TestSessionAnswersOnlyItsOwnOrigin(t *testing.T) {
	b := newHouse(t).browser()
	b.signIn("alice@example.com")
	for site, status := range map[string]int{"same-origin": 200, "none": 200, "": 200, "same-site": 403, "cross-site": 403} {
		b.headers.Del("Sec-Fetch-Site")
		if site != "" {
			b.headers.Set("Sec-Fetch-Site", site)
		}
		b.headers.Set("Origin", "https://evil.test")
		b.get("/_gatehouse/session")
		b.wants(status)
		if b.last.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("CORS headers on /session")
		}
	}
}

func TestJWKS(t *testing.T) {
	b := newHouse(t).browser()
	b.get("/_gatehouse/jwks.json")
	b.wants(200, `"kty":"OKP"`, `"alg":"EdDSA"`)
	if strings.Contains(b.body, `"d":`) {
		t.Error("the private key is public")
	}
}
