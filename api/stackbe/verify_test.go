package stackbe_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// claimsOf reads a JWT without checking it.
func claimsOf(t testing.TB, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || !strings.HasPrefix(jwt, "eyJ") {
		t.Fatalf("not a JWT: %q", jwt)
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVerify(t *testing.T) {
	w := house(t, nil)
	token := w.token(alice)
	a := want(t, w.post(auth+"verify", object{"token": token}), 200)
	t.Run("STACKBE-26 STACKBE-27", func(t *testing.T) {
		if a.String("sessionToken") == "" || a.String("customer.email") != alice || a.String("entitlements.planName") != "Free" || a.Get("entitlements.features.seats") != 3.0 {
			t.Errorf("answer %s", a.Text)
		}
	})
	t.Run("STACKBE-28 STACKBE-29 STACKBE-30", func(t *testing.T) {
		if a.Get("success") != true || a.Get("valid") != true || a.String("customerId") != a.String("customer.id") || a.String("email") != alice || a.String("redirectUrl") != callback {
			t.Errorf("answer %s", a.Text)
		}
		if a.Get("organizationId") != nil || a.Get("orgRole") != nil {
			t.Errorf("an organization out of nowhere: %s", a.Text)
		}
	})
	t.Run("STACKBE-16", func(t *testing.T) {
		refused(t, w.post(auth+"verify", object{"token": token}), 401, "TOKEN_ALREADY_USED")
	})
	t.Run("STACKBE-17", func(t *testing.T) {
		for _, bad := range []string{"x", strings.Repeat("x", 48), strings.ToLower(w.token(bob)), "eyJ.eyJ.x", strings.Repeat("é", 24)} {
			refused(t, w.post(auth+"verify", object{"token": bad}), 401, "TOKEN_INVALID")
		}
		refused(t, w.post(auth+"verify", object{}), 400, "MISSING_REQUIRED_FIELD")
	})
	t.Run("STACKBE-31", func(t *testing.T) {
		for range 2 {
			b := want(t, w.post(auth+"verify", object{"token": a.String("sessionToken")}), 200)
			if b.String("sessionToken") != a.String("sessionToken") || b.String("customerId") != a.String("customerId") {
				t.Errorf("answer %s", b.Text)
			}
		}
		refused(t, w.call("POST", auth+"verify", object{"token": a.String("sessionToken")}, apitest.TestKey), 401, "TOKEN_INVALID")
	})
	t.Run("test data apart", func(t *testing.T) {
		refused(t, w.call("POST", auth+"verify", object{"token": w.token(alice)}, apitest.TestKey), 401, "TOKEN_INVALID")
	})
	t.Run("STACKBE-3", func(t *testing.T) {
		refused(t, w.Do("POST", auth+"verify", object{"token": w.token("carol@example.com")}), 401, "UNAUTHORIZED")
	})
}

func TestLinkLifetime(t *testing.T) {
	w := house(t, nil)
	t.Run("STACKBE-13 STACKBE-15", func(t *testing.T) {
		young, old := w.token(alice), w.token(bob)
		w.Sleep(15*time.Minute - time.Second)
		want(t, w.post(auth+"verify", object{"token": young}), 200)
		w.Sleep(2 * time.Second)
		refused(t, w.post(auth+"verify", object{"token": old}), 401, "TOKEN_EXPIRED")
	})
	t.Run("STACKBE-14", func(t *testing.T) {
		w.App.LinkLifetime = time.Hour
		token := w.token(alice)
		w.Sleep(59 * time.Minute)
		want(t, w.post(auth+"verify", object{"token": token}), 200)
	})
}

func TestSession(t *testing.T) {
	w := house(t, nil)
	a := w.signIn(alice)
	jwt := a.String("sessionToken")
	t.Run("STACKBE-33 STACKBE-34 STACKBE-36", func(t *testing.T) {
		s := want(t, w.call("GET", auth+"session", nil, jwt), 200)
		expires, err := time.Parse(time.RFC3339, s.String("expiresAt"))
		if err != nil || s.Get("valid") != true || s.String("customerId") != a.String("customerId") || s.String("email") != alice {
			t.Errorf("flat form: %s", s.Text)
		}
		if s.String("customer.id") != a.String("customerId") || s.String("customer.email") != alice || s.Get("customer.metadata") == nil || s.String("entitlements.planName") != "Free" || s.Get("entitlements.features.chat") != true {
			t.Errorf("nested form: %s", s.Text)
		}
		if left := expires.Sub(w.Now()); left < 7*24*time.Hour-time.Minute || left > 7*24*time.Hour {
			t.Errorf("STACKBE-41: it lives %v", left)
		}
	})
	t.Run("STACKBE-35", func(t *testing.T) {
		s := w.call("GET", auth+"session", nil, jwt)
		if s.Get("organizationId") != nil || s.Get("orgRole") != nil {
			t.Errorf("%s", s.Text)
		}
	})
	t.Run("STACKBE-39", func(t *testing.T) {
		c := claimsOf(t, jwt)
		if c["sub"] != a.String("customerId") || c["email"] != alice || c["exp"] == nil {
			t.Errorf("claims %v", c)
		}
	})
	t.Run("STACKBE-40", func(t *testing.T) {
		if len(jwt) > 2048 || url.QueryEscape(jwt) != jwt {
			t.Errorf("%d bytes, or not fit for a cookie: %s", len(jwt), jwt)
		}
	})
	t.Run("STACKBE-38", func(t *testing.T) {
		refused(t, w.Do("GET", auth+"session", nil), 401, "SESSION_INVALID")
		parts := strings.Split(jwt, ".")
		flipped := parts[0] + "." + parts[1][:len(parts[1])-2] + "AA." + parts[2]
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
		for _, bad := range []string{"x", jwt[:len(jwt)-4], flipped, none, apitest.LiveKey, parts[0] + "." + parts[1] + "."} {
			refused(t, w.call("GET", auth+"session", nil, bad), 401, "SESSION_INVALID")
		}
		refused(t, w.call("GET", "/v1/apps/other/auth/session", nil, jwt), 401, "SESSION_INVALID")
		refused(t, w.call("GET", "/v1/apps/nosuch/auth/session", nil, jwt), 404, "APP_NOT_FOUND")
	})
	t.Run("the session ends in the core", func(t *testing.T) {
		jwt := w.session(bob)
		sid := claimsOf(t, jwt)["jti"].(string)
		if ended, err := w.Core.Sessions().End(t.Context(), sid, "admin"); !ended || err != nil {
			t.Fatal(ended, err)
		}
		refused(t, w.call("GET", auth+"session", nil, jwt), 401, "SESSION_INVALID")
	})
	t.Run("STACKBE-42 STACKBE-43", func(t *testing.T) {
		// What the client caches is its own affair: the server keeps nothing
		// and asks that nobody between keeps anything.
		if s := w.call("GET", auth+"session", nil, jwt); s.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control %q", s.Header.Get("Cache-Control"))
		}
	})
	t.Run("STACKBE-37 STACKBE-41", func(t *testing.T) {
		w.Sleep(7*24*time.Hour + time.Second)
		refused(t, w.call("GET", auth+"session", nil, jwt), 401, "SESSION_EXPIRED")
		refused(t, w.post(auth+"verify", object{"token": jwt}), 401, "TOKEN_EXPIRED")
		w.App.SessionLifetime = time.Hour
		short := w.session(alice)
		w.Sleep(time.Hour + time.Second)
		refused(t, w.call("GET", auth+"session", nil, short), 401, "SESSION_EXPIRED")
	})
}

func TestLinkInABrowser(t *testing.T) {
	w := house(t, nil)
	t.Run("STACKBE-19 STACKBE-21 STACKBE-22 STACKBE-24 STACKBE-25", func(t *testing.T) {
		link := w.link(object{"email": alice, "redirectUrl": callback + "?next=%2Fhome"})
		to := location(t, w.visit("GET", link, "&redirect=true"))
		if to.Host != "app.example.com" || to.Path != "/auth/callback" || to.Query().Get("next") != "/home" {
			t.Errorf("leads to %s", to)
		}
		jwt := to.Query().Get("token")
		want(t, w.call("GET", auth+"session", nil, jwt), 200)
		want(t, w.post(auth+"verify", object{"token": jwt}), 200)
	})
	t.Run("the token is ours", func(t *testing.T) {
		link := w.link(object{"email": alice, "redirectUrl": callback + "?token=A&next=%2Fhome&Token=A&error=B"})
		if q := location(t, w.visit("GET", link, "&redirect=true")).Query(); len(q["token"]) != 1 || q.Get("token") == "A" || q["Token"] != nil || q.Get("next") != "/home" {
			t.Errorf("leads to %v", q)
		}
		if q := location(t, w.visit("GET", link, "&redirect=true")).Query(); len(q["error"]) != 1 || q.Get("error") == "B" {
			t.Errorf("leads to %v", q)
		}
	})
	t.Run("STACKBE-20", func(t *testing.T) {
		link := w.link(object{"email": alice})
		isPage(t, w.visit("GET", link, ""), 200, "<button")
		a := want(t, w.get(link.Path+"?"+link.RawQuery), 200)
		if a.String("sessionToken") == "" || a.Get("success") != true {
			t.Errorf("answer %s", a.Text)
		}
		refused(t, w.call("GET", link.Path+"?"+link.RawQuery, nil, "sk_live_wrong"), 401, "UNAUTHORIZED")
	})
	t.Run("STACKBE-23", func(t *testing.T) {
		link := w.link(object{"email": bob})
		location(t, w.visit("GET", link, "&redirect=true"))
		to := location(t, w.visit("GET", link, "&redirect=true"))
		if to.Query().Get("error") != "Token has already been used" || to.Query().Get("token") != "" || !strings.HasPrefix(to.String(), callback) {
			t.Errorf("leads to %s", to)
		}
		unknown := *link
		unknown.RawQuery = "token=" + strings.Repeat("x", 48)
		if to := location(t, w.visit("GET", &unknown, "&redirect=true")); to.Query().Get("error") != "Token is invalid" {
			t.Errorf("leads to %s", to)
		}
		late := w.link(object{"email": bob})
		w.Sleep(16 * time.Minute)
		if to := location(t, w.visit("GET", late, "&redirect=true")); to.Query().Get("error") != "Token has expired" {
			t.Errorf("leads to %s", to)
		}
	})
	t.Run("STACKBE-55", func(t *testing.T) {
		w := house(t, nil)
		link := w.link(object{"email": alice})
		allowed := w.App.Callbacks
		w.App.Callbacks = origin.Callbacks{}
		isPage(t, w.visit("GET", link, "&redirect=true"), 410, "not allowed any more")
		isPage(t, w.visit("POST", link, ""), 410, "not allowed any more")
		w.App.Callbacks = allowed
		location(t, w.visit("GET", link, "&redirect=true")) // nothing was spent
	})
	t.Run("an unknown app", func(t *testing.T) {
		link := &url.URL{Path: "/v1/apps/nosuch/auth/verify", RawQuery: "token=x"}
		refused(t, w.visit("GET", link, ""), 404, "APP_NOT_FOUND")
		refused(t, w.visit("GET", &url.URL{Path: auth + "verify"}, ""), 400, "MISSING_REQUIRED_FIELD")
	})
}

func TestScannersStrandNobody(t *testing.T) {
	w := house(t, nil)
	scanners := [][]string{
		{"User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1)"}, {"User-Agent", "Barracuda Sentinel (EE)"}, {"User-Agent", ""},
		{"Sec-Purpose", "prefetch;prerender"}, {"Purpose", "prefetch"}, {"X-Moz", "prefetch"}, {"X-Purpose", "preview"},
	}
	t.Run("STACKBE-32", func(t *testing.T) {
		link := w.link(object{"email": alice})
		for _, headers := range scanners {
			for _, query := range []string{"", "&redirect=true"} {
				headers := append([]string{"Accept", "text/html"}, headers...)
				if !slices.Contains(headers, "User-Agent") {
					headers = append(headers, "User-Agent", "Mozilla/5.0 Firefox/140.0")
				}
				isPage(t, w.Do("GET", link.Path+"?"+link.RawQuery+query, nil, headers...), 200, "<button")
			}
		}
		want(t, w.visit("HEAD", link, "&redirect=true"), 200)
		page := w.visit("GET", link, "")
		if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || page.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("policy %q, Cache-Control %q", policy, page.Header.Get("Cache-Control"))
		}
		to := location(t, w.visit("POST", link, ""))
		want(t, w.call("GET", auth+"session", nil, to.Query().Get("token")), 200)
		// A second click says what is the matter, and where to go.
		if to := location(t, w.visit("POST", link, "")); to.Query().Get("error") == "" {
			t.Errorf("leads to %s", to)
		}
		isPage(t, w.visit("GET", link, ""), 410, "used already")
	})
	t.Run("a test key's links", func(t *testing.T) {
		want(t, w.call("POST", auth+"magic-link", object{"email": alice}, apitest.TestKey), 200)
		to := location(t, w.visit("GET", w.mailed(), "&redirect=true"))
		a := want(t, w.Do("GET", auth+"session", nil, append(bearer(to.Query().Get("token")), "X-API-Key", apitest.TestKey)...), 200)
		if a.Get("test") != true {
			t.Errorf("a session of test data looks like a live one: %s", a.Text)
		}
		b := want(t, w.call("POST", auth+"verify", object{"token": to.Query().Get("token")}, apitest.TestKey), 200)
		if b.Get("test") != true {
			t.Errorf("verify does not say that it is test data: %s", b.Text)
		}
		if c := w.signIn(alice); c.Get("test") != nil {
			t.Errorf("a live session looks like one of test data: %s", c.Text)
		}
		refused(t, w.get("/v1/customers/"+a.String("customerId")), 404, "CUSTOMER_NOT_FOUND")
		want(t, w.call("GET", "/v1/customers/"+a.String("customerId"), nil, apitest.TestKey), 200)
	})
}

// TestTestDataIsNotLive: whoever holds a test key writes what stands in test data,
// plan and roles too. No call takes a session of it, or of another app, unless a
// key beside it says that this is meant.
func TestTestDataIsNotLive(t *testing.T) {
	w := house(t, nil)
	signIn := func(key, email string) string {
		want(t, w.call("POST", auth+"magic-link", object{"email": email}, key), 200)
		return want(t, w.call("POST", auth+"verify", object{"token": w.mailed().Query().Get("token")}, key), 200).String("sessionToken")
	}
	test, live := signIn(apitest.TestKey, alice), signIn(apitest.LiveKey, bob)
	ask := func(method, path string, body any, token, key string) apitest.Answer {
		t.Helper()
		headers := bearer(token)
		if key != "" {
			headers = append(headers, "X-API-Key", key)
		}
		return w.Do(method, path, body, headers...)
	}
	org := want(t, ask("POST", orgs, object{"name": "Acme"}, test, apitest.TestPub), 201).String("id")
	calls := []struct {
		method, path string
		body         any
	}{
		{"GET", auth + "session", nil},
		{"POST", auth + "switch-organization", object{"organizationId": org}},
		{"GET", "/v1/entitlements", nil},
		{"GET", "/v1/entitlements/check/seats", nil},
		{"GET", orgs, nil},
		{"GET", orgs + "/" + org, nil},
		{"PATCH", orgs + "/" + org, object{"name": "Acme Two"}},
		{"GET", orgs + "/" + org + "/members", nil},
		{"POST", orgs + "/" + org + "/invites", object{"email": "carol@example.com", "role": "member"}},
		{"GET", orgs + "/" + org + "/invites", nil},
		{"POST", orgs + "/invites/accept", object{"inviteId": "inv_x"}},
	}
	for _, c := range calls {
		path := c.method + " " + c.path
		for _, key := range []string{"", apitest.LiveKey, apitest.LivePub, apitest.OtherKey} {
			code := "SESSION_INVALID"
			if key == "" && strings.HasPrefix(c.path, "/v1/entitlements") {
				code = "UNAUTHORIZED" // whose they are is not clear among several apps
			}
			if a := ask(c.method, c.path, c.body, test, key); a.Status != 401 || a.String("code") != code {
				t.Errorf("%s takes test data for live with key %.7q: %d %s", path, key, a.Status, a.Text)
			}
		}
		for _, key := range []string{apitest.TestKey, apitest.TestPub} {
			if a := ask(c.method, c.path, c.body, test, key); a.Status >= 400 && (a.Status == 401 || !strings.Contains(c.path, "accept")) {
				t.Errorf("%s with a test key: %d %s", path, a.Status, a.Text)
			}
			refused(t, ask(c.method, c.path, c.body, live, key), 401, "SESSION_INVALID")
		}
	}
	for _, key := range []string{"", apitest.LiveKey, apitest.LivePub} {
		want(t, ask("GET", auth+"session", nil, live, key), 200)
	}
	refused(t, ask("GET", auth+"session", nil, live, "sk_live_unknown"), 401, "UNAUTHORIZED")
	refused(t, w.Do("GET", auth+"session", nil, append(bearer(test), "X-API-Key", apitest.TestKey, "X-API-Key", apitest.TestKey)...), 401, "UNAUTHORIZED")
	// A key beside a session gives it no right of the key's.
	refused(t, ask("POST", orgs+"/"+org+"/members", object{"customerId": "cust_x", "role": "member"}, test, apitest.TestKey), 403, "UNAUTHORIZED")
}
