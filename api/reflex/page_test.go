package reflex_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

func TestLinks(t *testing.T) {
	h := house(t, reflex.Options{}, func(h *apitest.House) {
		var err error
		if h.App.Callbacks, err = origin.ParseCallbacks([]string{"https://app.example.com/*"}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("REFLEX-27 REFLEX-28 REFLEX-29 REFLEX-30", func(t *testing.T) {
		a := generated(h, fields{"email": "a+b@ex.com"})
		want := h.Origin.String() + "/magic-link-auth?email=a%2Bb%40ex.com&otp=" + a.String("otp") + "&redir=%2F"
		if a.String("magic_link") != want {
			t.Errorf("%s, want %s", a.String("magic_link"), want)
		}
	})
	t.Run("only the app leads to what has a wildcard", func(t *testing.T) {
		for asked, leads := range map[string]map[string]string{
			"https://app.example.com/x": {"https://app.example.com/x": "https://app.example.com/x", "https://app.example.com/evil": "/", "/in": "/in", "https://evil.test/": "/"},
			"/in":                       {"https://app.example.com/x": "/", "/other": "/other", h.Origin.String() + "/own": "/own"},
		} {
			for redir, want := range leads {
				link := generated(h, fields{"email": "d@ex.com", "redir": asked, "rate_limit": 100}).String("magic_link")
				if a := submit(h, strings.Replace(link, "redir="+url.QueryEscape(asked), "redir="+url.QueryEscape(redir), 1)); a.Status != 303 || strings.TrimPrefix(a.Header.Get("Location"), h.Origin.String()) != want {
					t.Errorf("asked for %s, opened with %s: %d %q", asked, redir, a.Status, a.Header.Get("Location"))
				}
			}
		}
	})
	t.Run("REFLEX-41", func(t *testing.T) {
		for redir, ok := range map[string]bool{
			"/": true, "/in?a=b": true, "https://app.example.com/x": true,
			"https://evil.test/": false, "//evil.test/": false, "/\\evil.test": false, "javascript:alert(1)": false,
			"https://app.example.com@evil.test/": false, "/\t/evil.test": false, "https://app.example.com.evil.test/": false,
		} {
			a := otp(h, fields{"email": "b@ex.com", "redir": redir, "rate_limit": 100})
			if (a.Status == 200) != ok {
				t.Errorf("redir %q: %d", redir, a.Status)
			}
		}
		link := generated(h, fields{"email": "c@ex.com", "redir": "/in", "rate_limit": 100}).String("magic_link")
		a := submit(h, strings.Replace(link, "redir=%2Fin", "redir=https%3A%2F%2Fevil.test%2F", 1))
		if a.Status != 303 || a.Header.Get("Location") != "/" {
			t.Errorf("a link that was changed leads to %q", a.Header.Get("Location"))
		}
	})
}

func TestThePage(t *testing.T) {
	h := house(t, reflex.Options{}, nil)
	t.Run("REFLEX-42", func(t *testing.T) {
		link := generated(h, fields{"email": alice, "redir": "/in?a=b"}).String("magic_link")
		path := strings.TrimPrefix(link, h.Origin.String())
		for _, method := range []string{"GET", "HEAD", "GET"} {
			a := h.Do(method, path, nil)
			if a.Status != 200 || len(a.Header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s: %d %v", method, a.Status, a.Header)
			}
			if method == "GET" && (!strings.Contains(a.Text, "<form method=\"post\" action=\"/magic-link-auth\">") || !strings.Contains(a.Text, alice)) {
				t.Error(a.Text)
			}
			if !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || a.Header.Get("Cache-Control") != "no-store" {
				t.Error(a.Header)
			}
		}
		if a := h.Do("POST", "/magic-link-auth", query(link), "Sec-Fetch-Site", "cross-site"); a.Status != 403 || len(a.Header.Values("Set-Cookie")) != 0 {
			t.Errorf("another site signs the browser in: %d", a.Status)
		}
		if a := h.Do("POST", "/magic-link-auth", query(link), "Origin", ""); a.Status != 403 {
			t.Errorf("a request from nowhere: %d", a.Status)
		}
		a := submit(h, link)
		if a.Status != 303 || a.Header.Get("Location") != "/in?a=b" {
			t.Errorf("%d %v", a.Status, a.Header)
		}
	})
	t.Run("REFLEX-33", func(t *testing.T) {
		a := submit(h, generated(h, fields{"email": alice, "redir": "/app"}).String("magic_link"))
		if a.Status != 303 || a.Header.Get("Location") != "/app" || !valid(h, cookie(a)) {
			t.Errorf("%d %v", a.Status, a.Header)
		}
	})
	t.Run("REFLEX-34", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		a := submit(h, strings.TrimSuffix(link, "&redir=%2F"))
		if a.Status != 200 || !strings.Contains(a.Text, "Login successful!") || !valid(h, cookie(a)) {
			t.Errorf("%d %s", a.Status, a.Text)
		}
	})
	t.Run("REFLEX-35", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		code := query(link).Get("otp")
		for _, half := range []string{"/magic-link-auth", "/magic-link-auth?email=" + url.QueryEscape(alice), "/magic-link-auth?otp=" + code, "/magic-link-auth?email=&otp=" + code} {
			for _, a := range []apitest.Answer{h.Do("GET", half, nil), submit(h, half)} {
				if !strings.Contains(a.Text, "Login failed!") || a.Status < 400 {
					t.Errorf("%s: %d %s", half, a.Status, a.Text)
				}
			}
		}
		if a := submit(h, link); a.Status != 303 {
			t.Error("something was consumed")
		}
	})
	t.Run("REFLEX-36", func(t *testing.T) {
		link := generated(h, fields{"email": alice}).String("magic_link")
		code := query(link).Get("otp")
		if a := submit(h, strings.Replace(link, code, wrong(code), 1)); !strings.Contains(a.Text, "Login failed!") || len(a.Header.Values("Set-Cookie")) != 0 {
			t.Error(a.Text)
		}
		h.Sleep(31 * time.Minute)
		if a := submit(h, link); !strings.Contains(a.Text, "Login failed!") {
			t.Error(a.Text)
		}
	})
	t.Run("REFLEX-37", func(t *testing.T) {
		code := generated(h, fields{"email": alice}).String("otp")
		if a := submit(h, "/magic-link-auth?email=ALICE%40Example.Com&otp="+code+"&redir=%2F"); a.Status != 303 {
			t.Error(a.Text)
		}
	})
}

func query(link string) url.Values {
	u, err := url.Parse(link)
	if err != nil {
		panic(err)
	}
	return u.Query()
}
