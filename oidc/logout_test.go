package oidc_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

// receiver is where clients are told that people have signed out.
type receiver struct {
	testing.TB
	*httptest.Server
	told chan notice

	mu    sync.Mutex
	fails int // answers that are still errors
	tries int
}

type notice struct {
	path, token, kind string
	form              url.Values
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{TB: t, told: make(chan notice, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = req.ParseForm()
		r.mu.Lock()
		r.tries++
		failing := r.fails > 0
		r.fails--
		r.mu.Unlock()
		if failing {
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		r.told <- notice{req.URL.Path, req.PostForm.Get("logout_token"), req.Header.Get("Content-Type"), req.PostForm}
	}))
	t.Cleanup(r.Close)
	return r
}

// next waits for the next notice.
func (r *receiver) next() notice {
	r.Helper()
	select {
	case n := <-r.told:
		return n
	case <-time.After(30 * time.Second):
		r.Fatal("nobody was told")
		return notice{}
	}
}

// nobody checks that no notice has come. What is looked at before has been told:
// a notice of another person comes first.
func (r *receiver) nobody() {
	r.Helper()
	select {
	case n := <-r.told:
		r.Errorf("%s was told", n.path)
	default:
	}
}

// withBackchannel lets wiki and second be told.
func withBackchannel(r *receiver) string {
	text := strings.Replace(clients, "id_token_email off", "id_token_email off\n\t\t\tbackchannel_logout_uri "+r.URL+"/wiki", 1)
	return strings.Replace(text, "redirect_uri http://localhost:9999/second/callback", "redirect_uri http://localhost:9999/second/callback\n\t\t\tbackchannel_logout_uri "+r.URL+"/second", 1)
}

// endSession goes to the end session endpoint as a person, and returns where the
// browser is sent; nil for nowhere.
func (b *browser) endSession(pairs ...string) (*url.URL, *page) {
	b.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	b.pages = nil
	return b.follow(b.get(b.endpoint("end_session_endpoint") + "?" + form.Encode()))
}

// wantSignedOut checks that nobody is signed in any more.
func (b *browser) wantSignedOut() {
	b.Helper()
	b.denied(wiki.ask("prompt", "none"), "login_required", "interaction_required")
}

// TestLogoutPlans is the plans for RP-Initiated and Back-Channel Logout.
func TestLogoutPlans(t *testing.T) {
	r := newReceiver(t)
	p := gatehouse(t, withBackchannel(r))
	runAll(t, p, rpInitiatedPlan)
	for len(r.told) > 0 {
		<-r.told
	}
	runAll(t, p, backchannelPlan(r))
}

// hinted is a new sign-in with its ID token.
func (p *op) hinted() (*browser, string) {
	p.Helper()
	b, a := p.happy(wiki.ask())
	return b, a.str("id_token")
}

// stays checks that the end session endpoint sends the browser nowhere, with
// whatever the person answers.
func (b *browser) stays(pairs ...string) {
	b.Helper()
	if at, _ := b.endSession(pairs...); at != nil {
		b.Errorf("the browser is sent to %s", at)
	}
}

var rpInitiatedPlan = []module{
	{"oidcc-rp-initiated-logout-discovery-endpoint-verification", func(p *op) { p.endpoint("end_session_endpoint") }},
	{"oidcc-rp-initiated-logout", func(p *op) {
		b, hint := p.hinted()
		state := strings.Repeat("aZ9-._~x", 16)
		at, _ := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", afterLogout, "state", state)
		if at == nil || strings.Split(at.String(), "?")[0] != afterLogout || at.Query().Get("state") != state || len(at.Query()) != 1 {
			p.Errorf("the browser is sent to %v", at)
		}
		b.wantSignedOut()
	}},
	{"oidcc-rp-initiated-logout-no-state", func(p *op) {
		b, hint := p.hinted()
		if at, _ := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", afterLogout); at == nil || at.String() != afterLogout {
			p.Errorf("the browser is sent to %v", at)
		}
		b.wantSignedOut()
	}},
	{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example.com/")
	}},
	{"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", hint, "post_logout_redirect_uri", afterLogout+"?foo=bar")
	}},
	{"oidcc-rp-initiated-logout-modified-id-token-hint", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", forgeries(p, hint)[0], "post_logout_redirect_uri", afterLogout)
	}},
	{"oidcc-rp-initiated-logout-bad-id-token-hint", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", forgeries(p, hint)[2], "post_logout_redirect_uri", afterLogout)
	}},
	{"oidcc-rp-initiated-logout-no-id-token-hint", func(p *op) {
		b, _ := p.hinted()
		b.stays("post_logout_redirect_uri", afterLogout)
	}},
	{"oidcc-rp-initiated-logout-no-params", func(p *op) {
		b, _ := p.hinted()
		b.stays()
		b.wantSignedOut()
	}},
	{"oidcc-rp-initiated-logout-only-state", func(p *op) {
		b, _ := p.hinted()
		b.stays("state", "x")
		b.wantSignedOut()
	}},
	{"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", hint)
		b.wantSignedOut()
	}},
	{"posted from another site", func(p *op) {
		b, hint := p.hinted()
		form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {afterLogout}, "state": {"x"}}
		at, _ := b.follow(b.post(b.endpoint("end_session_endpoint"), form, "Origin: http://localhost:9999", "Sec-Fetch-Site: cross-site"))
		if at == nil || at.String() != afterLogout+"?state=x" {
			p.Errorf("the browser is sent to %v", at)
		}
		b.wantSignedOut()
	}},
	{"without a hint nothing happens before the person says so", func(p *op) {
		b, _ := p.hinted()
		_ = b.get(b.endpoint("end_session_endpoint")).Body.Close()
		if b.authorize(wiki.ask("prompt", "none")).Get("code") == "" {
			p.Error("the person was signed out")
		}
	}},
	{"a hint of another session", func(p *op) {
		_, hint := p.hinted()
		b, _ := p.hinted()
		answer := b.get(b.endpoint("end_session_endpoint") + "?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {afterLogout}}.Encode())
		if at := answer.Header.Get("Location"); at != "/_gatehouse/logout" {
			p.Errorf("the browser is sent to %s", at)
		}
		if b.authorize(wiki.ask("prompt", "none")).Get("code") == "" {
			p.Error("the person was signed out")
		}
	}},
	{"a client_id that is not the hint's", func(p *op) {
		b, hint := p.hinted()
		b.stays("id_token_hint", hint, "client_id", "second", "post_logout_redirect_uri", afterLogout)
	}},
	{"a hint after a new sign-in of the same person", func(p *op) {
		b, hint := p.hinted()
		q := second.ask("prompt", "login")
		p.tokens(q, b.signIn(q))
		if at, _ := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", afterLogout); at == nil || at.String() != afterLogout {
			p.Errorf("the browser is sent to %v", at)
		}
		b.wantSignedOut()
	}},
	{"signed out already", func(p *op) {
		b, hint := p.hinted()
		b.stays()
		if at, _ := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", afterLogout, "state", "x"); at == nil || at.String() != afterLogout+"?state=x" {
			p.Errorf("the browser is sent to %v", at)
		}
	}},
	{"parameters twice", func(p *op) {
		b, hint := p.hinted()
		form := url.Values{"id_token_hint": {hint, hint}, "post_logout_redirect_uri": {afterLogout}}
		if a := b.get(b.endpoint("end_session_endpoint") + "?" + form.Encode()); a.StatusCode != 400 {
			p.Error(a.Status)
		}
	}},
}

func backchannelPlan(r *receiver) []module {
	return []module{
		{"oidcc-backchannel-logout-discovery-endpoint-verification", func(p *op) {
			if p.meta["backchannel_logout_supported"] != true || p.meta["backchannel_logout_session_supported"] != true {
				p.Error("it is not announced")
			}
		}},
		{"oidcc-backchannel-rp-initiated-logout", func(p *op) {
			b, hint := p.hinted()
			at, _ := b.endSession("id_token_hint", hint, "post_logout_redirect_uri", afterLogout, "state", "x")
			if at == nil || at.Query().Get("state") != "x" {
				p.Errorf("the browser is sent to %v", at)
			}
			p.checkNotice(r.next(), hint, "wiki")
			b.wantSignedOut()
		}},
		{"every client of the session is told once, whichever way it ends", func(p *op) {
			for name, end := range map[string]func(*browser){
				"signed out here":         func(b *browser) { b.follow(b.get(p.issuer + "/_gatehouse/logout")) },
				"ended on the account":    func(b *browser) { b.post(p.issuer+"/_gatehouse/account/sessions/end-all", url.Values{}) },
				"the account is deleted":  func(b *browser) { b.post(p.issuer+"/_gatehouse/account/delete", url.Values{"sure": {"on"}}) },
				"another person signs in": func(b *browser) { b.email = "another@example.com"; b.signIn(spa.ask("prompt", "select_account")) },
			} {
				b, hint := p.hinted()
				for range 2 { // at the same client again
					q := wiki.ask()
					p.tokens(q, b.signIn(q))
				}
				q := second.ask()
				other := p.tokens(q, b.signIn(q)).str("id_token")
				end(b)
				var told []string
				for range 2 {
					n := r.next()
					told = append(told, n.path)
					if n.path == "/wiki" {
						p.checkNotice(n, hint, "wiki")
					} else {
						p.checkNotice(n, other, "second")
					}
				}
				slices.Sort(told)
				if !slices.Equal(told, []string{"/second", "/wiki"}) {
					p.Errorf("%s: told are %v", name, told)
				}
				r.nobody()
			}
		}},
		{"a new sign-in of the same person tells nobody", func(p *op) {
			b, hint := p.hinted()
			q := spa.ask("prompt", "login")
			p.tokens(q, b.signIn(q))
			r.nobody()
			b.stays()
			p.checkNotice(r.next(), hint, "wiki") // with the session that the client knows
		}},
		{"a client that fails is tried again, and the person does not wait", func(p *op) {
			r.mu.Lock()
			r.fails = 1
			r.mu.Unlock()
			b, hint := p.hinted()
			began := time.Now()
			b.stays()
			if took := time.Since(began); took > 4*time.Second {
				p.Errorf("the person waits %s", took)
			}
			p.checkNotice(r.next(), hint, "wiki")
		}},
		{"nobody is told of what is no longer admitted, but of that", func(p *op) {
			b, a := p.happy(wiki.ask("scope", "openid offline_access"))
			p.load(strings.Replace(withBackchannel(r), "allow any", "allow staff", 1))
			n := r.next()
			for p.claims(n.token)["sid"] != p.claims(a.str("id_token"))["sid"] {
				n = r.next() // of somebody who had signed in before
			}
			p.checkNotice(n, a.str("id_token"), "wiki")
			p.wantTokenError(p.refresh(wiki, a.str("refresh_token")), 400, "invalid_grant")
			if u := p.userInfo(a.str("access_token")); u.StatusCode != 401 {
				p.Errorf("userinfo: %s", u.Status)
			}
			b.denied(wiki.ask("prompt", "none"), "access_denied")
			p.load(withBackchannel(r))
		}},
	}
}

// checkNotice checks a logout token against the ID token of the sign-in.
func (p *op) checkNotice(n notice, hint, client string) {
	p.Helper()
	if n.kind != "application/x-www-form-urlencoded" || len(n.form) != 1 {
		p.Errorf("%s with %v", n.kind, n.form)
	}
	p.seen.add(n.token)
	claims, header := p.verify(n.token)
	id := p.claims(hint)
	now := float64(time.Now().Unix())
	iat, _ := claims["iat"].(float64)
	exp, _ := claims["exp"].(float64)
	events, _ := claims["events"].(map[string]any)
	event, _ := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
	if header.ExtraHeaders["typ"] != "logout+jwt" || claims["iss"] != p.issuer || claims["aud"] != client || claims["jti"] == nil || claims["nonce"] != nil ||
		iat > now+5 || iat < now-120 || exp <= iat || exp > iat+180 || len(events) != 1 || event == nil || len(event) != 0 {
		p.Errorf("the logout token: %v %v", header.ExtraHeaders, claims)
	}
	if claims["sub"] != id["sub"] || claims["sid"] != id["sid"] {
		p.Errorf("sub %v and sid %v, in the ID token %v and %v", claims["sub"], claims["sid"], id["sub"], id["sid"])
	}
}

// A session that was not used for too long goes on in what apps hold with
// offline_access. The app's sign-out ends it where the browser still has its
// cookie, and only there.
func TestLogoutOfAnIdleSession(t *testing.T) {
	for name, c := range map[string]struct {
		pairwise, post, foreign, noCookie, twice bool
		ends, asks                               bool
	}{
		"with its cookie": {ends: true}, "pairwise": {pairwise: true, ends: true}, "posted": {post: true, ends: true},
		"with another cookie beside": {twice: true, asks: true}, "a hint of somebody else": {foreign: true, asks: true}, "in another browser": {noCookie: true},
	} {
		t.Run(name, func(t *testing.T) {
			var later atomic.Int64
			x := newBare(t, func() time.Time { return time.Now().Add(time.Duration(later.Load())) }, func(client *grant.Client) { client.Pairwise = c.pairwise })
			v, cookie := x.signIn("alice@example.com")
			held := x.tokens(v)
			other, otherCookie := x.signIn("bob@example.com")
			hint := held.ID
			if c.foreign {
				hint = x.tokens(other).ID
			}
			later.Store(int64(25 * time.Hour))
			if held = x.refresh(held.Refresh); held.Refresh == "" {
				t.Fatalf("offline_access ends with use: %+v", held)
			}
			form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://wiki.example.com/after"}, "state": {"s"}}
			path := "/oauth2/logout?" + form.Encode()
			if c.post {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodPost, "/oauth2/logout", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				x.h.Serve(w, r, x.visit)
				path = w.Header().Get("Location")
			}
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if !c.noCookie {
				r.AddCookie(&http.Cookie{Name: "__Host-gatehouse", Value: cookie})
			}
			if c.twice {
				r.AddCookie(&http.Cookie{Name: "__Host-gatehouse", Value: otherCookie})
			}
			w := httptest.NewRecorder()
			x.h.Serve(w, r, x.visit)
			want := "https://wiki.example.com/after?state=s"
			if c.asks {
				want = "/_gatehouse/logout"
			}
			if w.Header().Get("Location") != want {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if took := strings.Contains(strings.Join(w.Header()["Set-Cookie"], " "), "__Host-gatehouse=;"); took != c.ends {
				t.Errorf("the cookie is taken back: %v", took)
			}
			if ended := x.refresh(held.Refresh).Error == "invalid_grant"; ended != c.ends {
				t.Errorf("the tokens have ended: %v", ended)
			}
		})
	}
}

// Whoever signs out in a browser whose session was not used for too long ends it,
// whichever way: the page asks first, as for one in use, and says that nobody is
// signed in only once that is so.
func TestSignOutOfAnIdleBrowser(t *testing.T) {
	after := "https://wiki.example.com/after"
	for name, path := range map[string]func(x *bare, other string) string{
		"without a hint": func(*bare, string) string { return "/oauth2/logout?post_logout_redirect_uri=" + url.QueryEscape(after) },
		"with client_id alone": func(*bare, string) string {
			return "/oauth2/logout?client_id=wiki&post_logout_redirect_uri=" + url.QueryEscape(after)
		},
		"with nothing": func(*bare, string) string { return "/oauth2/logout" },
		"hint of another session": func(_ *bare, other string) string {
			return "/oauth2/logout?id_token_hint=" + other + "&post_logout_redirect_uri=" + url.QueryEscape(after)
		},
		"posted without a hint": func(x *bare, _ string) string {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/oauth2/logout", strings.NewReader("state=s"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			x.h.Serve(w, r, x.visit)
			return w.Header().Get("Location")
		},
		"at our own page": func(*bare, string) string { return "/_gatehouse/logout" },
	} {
		for cookies, names := range map[string][]string{"": {"__Host-gatehouse"}, ", two of them": {"__Host-gatehouse", "__Host-gatehouse"}, ", under another name": {"__Host-former"}} {
			t.Run(name+cookies, func(t *testing.T) {
				var later atomic.Int64
				x := newBare(t, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
				var held []bareTokens
				var tokens []string
				for i := range names {
					v, cookie := x.signIn([]string{"alice@example.com", "bob@example.com"}[i])
					held, tokens = append(held, x.tokens(v)), append(tokens, cookie)
				}
				carol, _ := x.signIn("carol@example.com")
				other := x.tokens(carol)
				later.Store(int64(25 * time.Hour))
				for i := range held {
					held[i] = x.refresh(held[i].Refresh)
				}
				send := func(method, path string) *httptest.ResponseRecorder {
					r := httptest.NewRequest(method, path, nil)
					r.Header.Set("Origin", "https://auth.example.com")
					for i, name := range names {
						r.AddCookie(&http.Cookie{Name: name, Value: tokens[i]})
					}
					w := httptest.NewRecorder()
					if strings.HasPrefix(path, "/oauth2/") {
						x.h.Serve(w, r, x.visit)
					} else {
						x.site.ServeHTTP(w, r, x.visit)
					}
					return w
				}
				w := send(http.MethodGet, path(x, other.ID))
				if w.Code == http.StatusSeeOther {
					w = send(http.MethodGet, w.Header().Get("Location"))
				}
				if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `<form method="post" action="/_gatehouse/logout">`) || strings.Contains(w.Body.String(), "alice@") {
					t.Fatalf("nobody is asked: %d\n%s", w.Code, w.Body)
				}
				if w = send(http.MethodPost, "/_gatehouse/logout"); w.Code != http.StatusSeeOther {
					t.Errorf("%d\n%s", w.Code, w.Body)
				}
				for i := range held {
					if again := x.refresh(held[i].Refresh); again.Error != "invalid_grant" {
						t.Errorf("session %d goes on in what the app holds: %+v", i, again)
					}
				}
				if w = send(http.MethodGet, "/_gatehouse/logout"); strings.Contains(w.Body.String(), `<form method="post" action="/_gatehouse/logout"`) {
					t.Error("asked again")
				}
				if again := x.refresh(other.Refresh); again.Refresh == "" {
					t.Errorf("another browser's session has ended: %+v", again)
				}
			})
		}
	}
}

// A logout token is no ID token, and the other way around.
func TestLogoutTokenIsNoHint(t *testing.T) {
	r := newReceiver(t)
	p := gatehouse(t, withBackchannel(r))
	b, hint := p.hinted()
	b.stays("id_token_hint", hint)
	token := r.next().token
	p.seen.add(token)
	p.someone().denied(wiki.ask("id_token_hint", token), "invalid_request")
}

// closedHint is an ID token of the person's for a client that admits them no more.
func (p *op) closedHint(b *browser, closed client) string {
	p.Helper()
	text := p.house.text
	p.reload(strings.Replace(text, "allow staff\n", "allow any\n", 1))
	q := closed.ask()
	hint := p.tokens(q, b.signIn(q)).str("id_token")
	p.reload(text)
	return hint
}

// People decide what apps learn of them: consent, sign-up, withdrawal.
func TestConsent(t *testing.T) {
	r := newReceiver(t)
	p := gatehouse(t, withBackchannel(r)+`
		app shop {
			name "The Shop"
			secret shop-0123456789abcdef0123456789abcdef
			redirect_uri http://localhost:9999/shop/callback
			backchannel_logout_uri `+r.URL+`/shop
			allow any
			consent on
			profile on
		}
		app club {
			name "The Club"
			redirect_uri http://localhost:9999/club/callback
			allow staff any
			auto_create on
		}
		app closed {
			redirect_uri http://localhost:9999/closed/callback
			allow staff
		}`)
	shop := client{id: "shop", secret: "shop-0123456789abcdef0123456789abcdef", redirect: "http://localhost:9999/shop/callback"}
	club := client{id: "club", redirect: "http://localhost:9999/club/callback"}
	closed := client{id: "closed", redirect: "http://localhost:9999/closed/callback"}
	met := func(b *browser) bool { return slices.Contains(b.pages, "/oauth2/authorize") }
	runAll(t, p, []module{
		{"asked once, and again for more", func(p *op) {
			b := p.someone()
			b.signIn(shop.ask())
			if !met(b) {
				p.Error("nobody was asked")
			}
			if b.signIn(shop.ask()); met(b) {
				p.Error("asked twice")
			}
			if b.signIn(shop.ask("scope", "openid email")); !met(b) {
				p.Error("not asked for the address")
			}
			if b.signIn(shop.ask("scope", "openid email", "prompt", "consent")); !met(b) {
				p.Error("not asked with prompt=consent")
			}
			if b.signIn(wiki.ask("prompt", "consent")); met(b) {
				p.Error("asked for the operator's own app")
			}
		}},
		{"prompt none before", func(p *op) {
			b, _ := p.happy(wiki.ask())
			b.denied(shop.ask("prompt", "none"), "consent_required")
			b.denied(club.ask("prompt", "none"), "interaction_required")
		}},
		{"LINK-49: refused, by button and by link", func(p *op) {
			b, _ := p.happy(wiki.ask())
			q := shop.ask()
			page := read(p, b.get(p.endpoint("authorization_endpoint")+"?"+q.params.Encode()))
			if !strings.Contains(page.text, "The Shop") || !strings.Contains(page.Header.Get("Content-Security-Policy"), "form-action 'self' http://localhost:9999;") || !strings.Contains(page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				p.Errorf("%s\n%s", page.Header.Get("Content-Security-Policy"), page.heading())
			}
			b.wantError(b.check(q, b.cancels(page)), "access_denied")
			form := page.fields()
			form.Set("decision", "deny")
			at, err := b.post(p.issuer+"/oauth2/consent", form).Location()
			must(p, err)
			b.wantError(b.check(q, at), "access_denied")
		}},
		{"another site can't agree", func(p *op) {
			b, _ := p.happy(wiki.ask())
			page := read(p, b.get(p.endpoint("authorization_endpoint")+"?"+shop.ask().params.Encode()))
			form := page.fields()
			form.Set("decision", "allow")
			if a := b.post(p.issuer+"/oauth2/consent", form, "Origin: https://evil.example.com"); a.StatusCode != 403 {
				p.Error(a.Status)
			}
			form.Set("request_query", strings.Replace(form.Get("request_query"), "shop%2Fcallback", "evil", 1))
			if a := b.post(p.issuer+"/oauth2/consent", form); a.StatusCode != 400 || a.Header.Get("Location") != "" {
				p.Error(a.Status)
			}
		}},
		{"pages at an address with an ID token: in no log, by no Referer", func(p *op) {
			b := p.someone()
			q := shop.ask()
			hint := p.tokens(q, b.signIn(q)).str("id_token")
			authorize, logout := p.endpoint("authorization_endpoint")+"?", p.endpoint("end_session_endpoint")+"?"
			twice := url.Values{"id_token_hint": {hint}, "state": {"1", "2"}}.Encode()
			for name, at := range map[string]string{
				"consent":          authorize + shop.ask("scope", "openid email", "id_token_hint", hint).params.Encode(),
				"refusal":          authorize + closed.ask("id_token_hint", p.closedHint(b, closed)).params.Encode(),
				"a redirect_uri":   authorize + shop.ask("redirect_uri", "https://evil.example.com/", "id_token_hint", hint).params.Encode(),
				"no client":        authorize + shop.ask("client_id", "", "id_token_hint", hint).params.Encode(),
				"another name":     authorize + shop.ask("client_id", "nobody", "token", hint).params.Encode(),
				"signing out":      logout + twice,
				"a bad method":     p.issuer + "/oauth2/consent?id_token_hint=" + hint,
				"not to be parsed": authorize + "id_token_hint=" + hint + "&%zz",
			} {
				page := read(p, b.get(at))
				if page.StatusCode == http.StatusSeeOther || page.Header.Get("Referrer-Policy") != "strict-origin" {
					p.Errorf("%s: %s, Referrer-Policy %q", name, page.Status, page.Header.Get("Referrer-Policy"))
				}
				shown := b.from
				for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page.text, -1) {
					if !strings.Contains(m[1], "cancel") {
						_ = b.get(p.issuer + html.UnescapeString(m[1])).Body.Close()
						b.from = shown
					}
				}
				if strings.Contains(page.text, `action="/oauth2/consent"`) {
					form := page.fields()
					form.Set("decision", "allow")
					if a := b.post(p.issuer+"/oauth2/consent", form); !strings.Contains(a.Header.Get("Location"), "code=") {
						p.Errorf("%s: the form is not taken: %s", name, a.Status)
					}
				}
			}
		}},
		{"seen and withdrawn on the account page", func(p *op) {
			b := p.someone()
			q := shop.ask("scope", "openid offline_access")
			a := p.tokens(q, b.signIn(q))
			page := read(p, b.get(p.issuer+"/_gatehouse/account"))
			if !strings.Contains(page.text, "The Shop") || !strings.Contains(page.text, `action="/_gatehouse/account/apps/shop/withdraw"`) {
				p.Fatal("the account page does not show the app")
			}
			if done := b.post(p.issuer+"/_gatehouse/account/apps/shop/withdraw", url.Values{}); done.Header.Get("Location") != "/_gatehouse/account?withdrawn" {
				p.Errorf("%s %s", done.Status, done.Header.Get("Location"))
			}
			p.checkNotice(r.next(), a.str("id_token"), "shop")
			p.wantTokenError(p.refresh(shop, a.str("refresh_token")), 400, "invalid_grant")
			if u := p.userInfo(a.str("access_token")); u.StatusCode != 401 {
				p.Errorf("userinfo: %s", u.Status)
			}
			if page := read(p, b.get(p.issuer+"/_gatehouse/account")); strings.Contains(page.text, "apps/shop") {
				p.Error("the app is still on the page")
			}
			if b.signIn(shop.ask()); !met(b) {
				p.Error("not asked again")
			}
		}},
		{"what claims ask for needs consent, too", func(p *op) {
			for _, pairs := range [][]string{
				{"claims", `{"userinfo":{"email":null}}`}, {"claims", `{"id_token":{"email":{"essential":true}}}`}, {"claims", `{"userinfo":{"name":null}}`},
				{"claims", `{"id_token":{"name":null}}`}, {"scope", "openid email"}, {"scope", "openid profile"}, {"scope", "openid offline_access"},
			} {
				b := p.someone()
				q := shop.ask()
				b.signIn(q)
				b.post(p.issuer+"/_gatehouse/account/name", url.Values{"name": {"Alice Example"}})
				b.denied(shop.ask(append(pairs, "prompt", "none")...), "consent_required")
				if b.signIn(shop.ask(pairs...)); !met(b) {
					p.Errorf("nobody was asked for %s", pairs)
				}
				if b.authorize(shop.ask(append(pairs, "prompt", "none")...)).Get("code") == "" {
					p.Errorf("asked twice for %s", pairs)
				}
			}
			b := p.someone()
			b.signIn(shop.ask("scope", "openid email"))
			q := shop.ask("claims", `{"userinfo":{"email":null,"email_verified":null}}`, "prompt", "none")
			if u := p.userInfo(p.tokens(q, b.signIn(q)).str("access_token")); u.str("email") != b.email || u.json["email_verified"] != true {
				p.Errorf("what was agreed to by scope: %s", u.text)
			}
			page := read(p, b.get(p.endpoint("authorization_endpoint")+"?"+shop.ask("claims", `{"id_token":{"email":null}}`, "prompt", "consent").params.Encode()))
			if !strings.Contains(page.text, "your email address") {
				p.Errorf("the page does not name what claims ask for:\n%s", page.text)
			}
		}},
		{"a name that was not there to be named is asked for, and told to nobody before", func(p *op) {
			b := p.someone()
			q := shop.ask("scope", "openid profile offline_access")
			a := p.tokens(q, b.signIn(q))
			b.post(p.issuer+"/_gatehouse/account/name", url.Values{"name": {"Alice Example"}})
			again := p.refresh(shop, a.str("refresh_token"))
			for _, token := range []string{a.str("access_token"), again.str("access_token")} {
				if u := p.userInfo(token); u.StatusCode != 200 || u.json["name"] != nil {
					p.Errorf("%s %s", u.Status, u.text)
				}
			}
			b.denied(shop.ask("scope", "openid profile", "prompt", "none"), "consent_required")
			q = shop.ask("scope", "openid profile", "claims", `{"id_token":{"name":null}}`)
			fresh := p.tokens(q, b.signIn(q))
			if u := p.userInfo(fresh.str("access_token")); !met(b) || u.str("name") != "Alice Example" || p.claims(fresh.str("id_token"))["name"] != "Alice Example" {
				p.Errorf("once agreed: %s", u.text)
			}
		}},
		{"who agrees is whom the page named, to what it named", func(p *op) {
			asked := func(b *browser, q *request) url.Values {
				form := read(p, b.get(p.endpoint("authorization_endpoint")+"?"+q.params.Encode())).fields()
				form.Set("decision", "allow")
				return form
			}
			agree := func(b *browser, form url.Values) string {
				answer := b.post(p.issuer+"/oauth2/consent", form)
				at, err := answer.Location()
				if err != nil {
					return read(p, answer).text
				}
				return at.Query().Get("error")
			}
			b, _ := p.happy(wiki.ask())
			form, first := asked(b, shop.ask("scope", "openid email")), b.email
			b.email = p.someone().email
			b.signIn(wiki.ask("prompt", "select_account"))
			if text := agree(b, form); !strings.Contains(text, b.email) || !strings.Contains(text, `action="/oauth2/consent"`) || strings.Contains(text, first) {
				p.Errorf("another person signed in: %s", text)
			}
			b.denied(shop.ask("prompt", "none"), "consent_required")

			form = asked(b, shop.ask("scope", "openid profile"))
			b.post(p.issuer+"/_gatehouse/account/name", url.Values{"name": {"Bob Example"}})
			if text := agree(b, form); !strings.Contains(text, "Bob Example") {
				p.Errorf("a name was given since: %s", text)
			}
			form = asked(b, shop.ask())
			form.Set("request_query", strings.Replace(form.Get("request_query"), "scope=openid", "scope=openid+email", 1))
			if text := agree(b, form); !strings.Contains(text, "your email address") {
				p.Errorf("the form asks for more than the page: %s", text)
			}
			form = asked(b, shop.ask())
			form.Del("mark")
			if text := agree(b, form); !strings.Contains(text, `action="/oauth2/consent"`) {
				p.Errorf("without a mark: %s", text)
			}
			b.denied(shop.ask("prompt", "none"), "consent_required")
		}},
		{"LINK-48: who is not known is asked to sign up, after the proof", func(p *op) {
			b := p.someone()
			b.signIn(club.ask())
			if !met(b) || !slices.Contains(b.pages, "/_gatehouse/code") || slices.Index(b.pages, "/oauth2/authorize") < slices.Index(b.pages, "/_gatehouse/code") {
				p.Errorf("the person meets %v", b.pages)
			}
			if b.signIn(club.ask()); met(b) {
				p.Error("asked twice")
			}
			known := p.browser("u" + strings.ToLower(random()[:8]) + "@staff.example.com")
			if known.signIn(club.ask()); met(known) {
				p.Error("somebody who is named by the configuration is asked")
			}
		}},
		{"LINK-48: before the proof all addresses look alike", func(p *op) {
			var pages []string
			for _, email := range []string{"stranger@elsewhere.example.com", "member@staff.example.com"} {
				b := p.browser(email)
				at := b.get(p.endpoint("authorization_endpoint") + "?" + closed.ask("state", "", "nonce", "").params.Encode())
				form := read(p, b.get(p.issuer+at.Header.Get("Location"))).fields()
				form.Set("email", email)
				sent := b.post(p.issuer+"/_gatehouse/login", form)
				page := read(p, b.get(p.issuer+sent.Header.Get("Location")))
				pages = append(pages, sent.Status+strings.ReplaceAll(page.heading(), email, ""))
			}
			if pages[0] != pages[1] {
				p.Errorf("%q and %q", pages[0], pages[1])
			}
		}},
		{"who is not admitted stays here, and can go back", func(p *op) {
			b, _ := p.happy(wiki.ask())
			q := closed.ask()
			page := read(p, b.get(p.endpoint("authorization_endpoint")+"?"+q.params.Encode()))
			if page.StatusCode != 403 || page.Header.Get("Location") != "" {
				p.Errorf("%s", page.Status)
			}
			b.wantError(b.check(q, b.cancels(page)), "access_denied")
			b.denied(closed.ask("prompt", "none"), "access_denied")
		}},
	})
}

// Pairwise subjects are the same for a sector and differ between them.
func TestPairwise(t *testing.T) {
	r := newReceiver(t)
	apps := func(id, host string) string {
		return `
		app ` + id + ` {
			redirect_uri http://` + host + `:9999/` + id + `
			backchannel_logout_uri ` + r.URL + `/` + id + `
			post_logout_redirect_uri http://localhost:9999/after
			allow any
			subject pairwise
		}`
	}
	p := gatehouse(t, clients+apps("one", "localhost")+apps("two", "localhost")+apps("three", "127.0.0.1"))
	b := p.someone()
	sids := map[string]any{}
	sub := func(id, host string) (string, string) {
		q := client{id: id, redirect: "http://" + host + ":9999/" + id}.ask("scope", "openid offline_access")
		a := p.tokens(q, b.signIn(q))
		claims := p.claims(a.str("id_token"))
		if u := p.userInfo(a.str("access_token")); u.str("sub") != claims["sub"] {
			t.Errorf("userinfo: %s, the ID token: %v", u.text, claims)
		}
		sids["/"+id] = claims["sid"]
		return claims["sub"].(string), a.str("id_token")
	}
	one, hint := sub("one", "localhost")
	two, _ := sub("two", "localhost")
	three, _ := sub("three", "127.0.0.1")
	q := wiki.ask()
	first := p.claims(p.tokens(q, b.signIn(q)).str("id_token"))
	public := first["sub"]
	if sids["/one"] != sids["/two"] || sids["/one"] == sids["/three"] || sids["/one"] == first["sid"] || sids["/three"] == first["sid"] {
		t.Errorf("sessions %v, and of a public client %v", sids, first["sid"])
	}
	if one != two || one == three || one == public || three == public {
		t.Errorf("%s %s %s %v", one, two, three, public)
	}
	again := client{id: "one", redirect: "http://localhost:9999/one"}.ask("prompt", "none", "id_token_hint", hint)
	if b.authorize(again).Get("code") == "" {
		t.Error("the hint with the pairwise subject is not the person's")
	}
	other := p.someone()
	q = client{id: "one", redirect: "http://localhost:9999/one"}.ask()
	foreign := p.tokens(q, other.signIn(q)).str("id_token")
	b.endSession("id_token_hint", foreign) // asks first, and the person says yes
	if !slices.Contains(b.pages, "/_gatehouse/logout") {
		t.Error("signed out with a hint of somebody else, and not asked")
	}
	for range 3 {
		n := r.next()
		want := map[string]string{"/one": one, "/two": two, "/three": three}[n.path]
		if got := p.claims(n.token); got["sub"] != want || got["sid"] != sids[n.path] {
			t.Errorf("%s is told of %v in %v, want %s in %v", n.path, got["sub"], got["sid"], want, sids[n.path])
		}
	}
	at, _ := other.endSession("id_token_hint", foreign, "post_logout_redirect_uri", "http://localhost:9999/after")
	if at == nil || at.Path != "/after" || len(other.pages) != 0 {
		t.Errorf("a sign-out with the hint of this very session leads to %v, by %v", at, other.pages)
	}
}

// A hint that another node has signed a moment ago, with a key that can't be read here,
// is none that is refused.
func TestHintsWhileTheStoreIsAway(t *testing.T) {
	engine := &storetest.Away{Store: memstore.New()}
	x := newBareOn(t, engine, time.Now)
	v, _ := x.signIn("alice@example.com")
	hint := apitest.FromAnotherNode(t, x.tokens(v).ID)
	paths := map[string]string{
		"a sign-out": "/oauth2/logout?" + url.Values{"id_token_hint": {hint}}.Encode(),
		"a sign-in":  "/oauth2/authorize?" + url.Values{"client_id": {"wiki"}, "redirect_uri": {"https://wiki.example.com/cb"}, "response_type": {"code"}, "scope": {"openid"}, "code_challenge": {strings.Repeat("x", 43)}, "code_challenge_method": {"S256"}, "id_token_hint": {hint}}.Encode(),
	}
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		x.h.Serve(w, httptest.NewRequest(http.MethodGet, path, nil), v)
		return w
	}
	for name, path := range paths {
		if w := ask(path); w.Code != http.StatusSeeOther {
			t.Errorf("%s: a key that nobody has: %d", name, w.Code)
		}
	}
	engine.Be(true)
	for name, path := range paths {
		if w := ask(path); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}
