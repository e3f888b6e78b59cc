package stackbe_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

func TestMagicLinkIsSent(t *testing.T) {
	w := house(t, nil)
	t.Run("STACKBE-1 STACKBE-2 STACKBE-4", func(t *testing.T) {
		a := want(t, w.post(auth+"magic-link", object{"email": alice}), 200)
		if a.Get("success") != true || a.String("message") == "" {
			t.Errorf("answer %s", a.Text)
		}
		if m := w.LastMail(); len(w.Mail.Sent()) != 1 || m.To.String() != alice {
			t.Errorf("%d mails, the last to %s", len(w.Mail.Sent()), m.To)
		}
	})
	t.Run("STACKBE-18 STACKBE-62 STACKBE-64 STACKBE-66", func(t *testing.T) {
		link := w.LastMail().Link
		if !regexp.MustCompile("^" + regexp.QuoteMeta(w.Server.URL+auth) + "verify\\?token=[A-Za-z0-9]{48}$").MatchString(link) {
			t.Errorf("link %s", link)
		}
	})
	t.Run("the short path", func(t *testing.T) {
		want(t, w.post("/auth/magic-link", object{"email": bob}), 200)
		if m := w.LastMail(); m.To.String() != bob || !strings.Contains(m.Link, auth) {
			t.Errorf("to %s, link %s", m.To, m.Link)
		}
	})
	t.Run("STACKBE-9 STACKBE-11", func(t *testing.T) {
		want(t, w.get("/v1/customers?email="+bob), 200)
	})
	t.Run("a base URL that ends in a slash", func(t *testing.T) {
		want(t, w.post("//v1/apps/shop/auth/magic-link", object{"email": "carol@example.com"}), 200)
	})
}

func TestMagicLinkIsRefused(t *testing.T) {
	w := house(t, nil)
	good := object{"email": alice}
	t.Run("STACKBE-3", func(t *testing.T) {
		refused(t, w.Do("POST", auth+"magic-link", good), 401, "UNAUTHORIZED")
		for _, key := range []string{"", "x", apitest.LiveKey[:len(apitest.LiveKey)-1], apitest.LiveKey + "0", strings.ToUpper(apitest.LiveKey)} {
			refused(t, w.call("POST", auth+"magic-link", good, key), 401, "UNAUTHORIZED")
		}
		refused(t, w.Do("POST", auth+"magic-link", good, append(bearer(apitest.LiveKey), bearer(apitest.LiveKey)...)...), 401, "UNAUTHORIZED")
		refused(t, w.call("POST", auth+"magic-link", good, apitest.LivePub), 403, "UNAUTHORIZED")
		refused(t, w.Do("POST", auth+"magic-link?api_key="+apitest.LiveKey, good), 401, "UNAUTHORIZED")
	})
	t.Run("STACKBE-5", func(t *testing.T) {
		refused(t, w.post("/v1/apps/nosuch/auth/magic-link", good), 404, "APP_NOT_FOUND")
	})
	t.Run("STACKBE-6", func(t *testing.T) {
		refused(t, w.call("POST", auth+"magic-link", good, apitest.OtherKey), 403, "UNAUTHORIZED")
	})
	t.Run("STACKBE-7", func(t *testing.T) {
		for _, bad := range []string{"alice", "a@b@c", "a b@example.com", "alice@example", "a@example.com,b@example.com"} {
			a := refused(t, w.post(auth+"magic-link", object{"email": bad}), 400, "INVALID_EMAIL")
			if a.String("message") != "Invalid email format" {
				t.Errorf("message %s", a.Text)
			}
		}
	})
	t.Run("STACKBE-8", func(t *testing.T) {
		refused(t, w.post(auth+"magic-link", object{}), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.post(auth+"magic-link", object{"email": nil}), 400, "MISSING_REQUIRED_FIELD")
		refused(t, w.post(auth+"magic-link", object{"email": 7}), 400, "VALIDATION_ERROR")
		refused(t, w.post(auth+"magic-link", nil), 400, "MISSING_REQUIRED_FIELD")
	})
	t.Run("STACKBE-109", func(t *testing.T) {
		for body, status := range map[string]int{
			`{"email":"a@example.com","email":"b@example.com"}`: 400, `{"email":"a@example.com","EMAIL":"b@example.com"}`: 400,
			`{"email":"a@example.com"}{}`: 400, `[]`: 400, `{`: 400, `{"email":` + strings.Repeat("[", 100000): 413,
			`{"email":"` + strings.Repeat("a", 70000) + `"}`: 413, strings.Repeat(`{"a":`, 9000): 400,
		} {
			if a := w.post(auth+"magic-link", body); a.Status != status || a.Get("statusCode") != float64(status) || a.String("error") == "" {
				t.Errorf("%.40s: %d %s", body, a.Status, a.Text)
			}
		}
		a := w.Do("POST", auth+"magic-link", `{"email":"a@example.com"}`, append(bearer(apitest.LiveKey), "Content-Type", "text/plain")...)
		refused(t, a, 415, "VALIDATION_ERROR")
		refused(t, w.call("PUT", auth+"magic-link", good, apitest.LiveKey), 405, "")
	})
	if n := len(w.Mail.Sent()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
}

func TestUnknownCustomers(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.App.AutoCreate = false })
	t.Run("STACKBE-10", func(t *testing.T) {
		a := refused(t, w.post(auth+"magic-link", object{"email": alice}), 400, "CUSTOMER_NOT_FOUND")
		if !strings.HasPrefix(a.String("message"), "Customer not found, and auto_create is off") || len(w.Mail.Sent()) != 0 {
			t.Errorf("%s, %d mails", a.Text, len(w.Mail.Sent()))
		}
		w.customer(alice)
		want(t, w.post(auth+"magic-link", object{"email": alice}), 200)
	})
	t.Run("STACKBE-12", func(t *testing.T) {
		here := w.customer(bob)
		there := want(t, w.call("POST", "/v1/customers", object{"email": bob}, apitest.OtherKey), 201).String("id")
		inTest := want(t, w.call("POST", "/v1/customers", object{"email": bob}, apitest.TestKey), 201).String("id")
		if here == there || here == inTest {
			t.Errorf("one customer in two apps: %s %s %s", here, there, inTest)
		}
		refused(t, w.call("GET", "/v1/customers/"+here, nil, apitest.OtherKey), 404, "CUSTOMER_NOT_FOUND")
		refused(t, w.call("GET", "/v1/customers/"+here, nil, apitest.TestKey), 404, "CUSTOMER_NOT_FOUND")
	})
}

func TestCallbacks(t *testing.T) {
	w := house(t, nil)
	ask := func(to string) apitest.Answer {
		w.Sleep(time.Hour)
		return w.post(auth+"magic-link", object{"email": alice, "redirectUrl": to})
	}
	allowed := func(list ...string) func(*testing.T) {
		return func(t *testing.T) {
			for _, to := range list {
				want(t, ask(to), 200)
			}
		}
	}
	t.Run("STACKBE-45 STACKBE-46 STACKBE-47", allowed("https://app.example.com/", "https://app.example.com/deep/path?x=1"))
	t.Run("STACKBE-48", allowed("https://preview-1.vercel.app/cb", "https://a.b.vercel.app/"))
	t.Run("STACKBE-49 STACKBE-50", allowed("http://localhost:3000/auth/callback", "http://localhost:1/"))
	t.Run("STACKBE-51", allowed("http://localhost/path"))
	before := len(w.Mail.Sent())
	refused := func(list ...string) func(*testing.T) {
		return func(t *testing.T) {
			for _, to := range list {
				if a := ask(to); a.Status != 400 || a.String("code") != "VALIDATION_ERROR" {
					t.Errorf("%s: %s", to, a.Text)
				}
			}
		}
	}
	t.Run("STACKBE-44", refused("https://evil.example/", "https://app.example.com.evil.example/"))
	t.Run("STACKBE-47", refused("http://app.example.com/"))
	t.Run("STACKBE-51", refused("https://localhost/", "http://127.0.0.1:3000/", "http://[::1]:3000/", "http://localhost.evil.example:80/"))
	t.Run("STACKBE-52", refused("https://evil.example/x.vercel.app/", "https://a.vercel.app@evil.example/", `https://evil.example\.vercel.app/`,
		"https://evil.example?.vercel.app/", "https://evil.example#.vercel.app/", "https://evil.example%2f.vercel.app/"))
	t.Run("STACKBE-53", refused("https://vercel.app.evil.example/", "https://x.vercel.app.evil.example/"))
	t.Run("STACKBE-54", refused("javascript:alert(1)", "data:text/html,x", "HTTPS:/app.example.com/", "//app.example.com/", "/path"))
	if n := len(w.Mail.Sent()); n != before {
		t.Errorf("%d mails were sent with callbacks that are not allowed", n-before)
	}
}

func TestDefaultCallbacks(t *testing.T) {
	const dev = "http://localhost:3000/auth/callback"
	leads := func(t *testing.T, w *world, body object) string {
		t.Helper()
		w.Sleep(time.Hour)
		body["email"] = alice
		token := w.link(body).Query().Get("token")
		return want(t, w.post(auth+"verify", object{"token": token}), 200).String("redirectUrl")
	}
	w := house(t, func(h *apitest.House) { h.App.DevCallback = dev })
	t.Run("STACKBE-56", func(t *testing.T) {
		if got := leads(t, w, object{}); got != callback {
			t.Errorf("leads to %s", got)
		}
	})
	t.Run("STACKBE-57", func(t *testing.T) {
		if got := leads(t, w, object{"redirectUrl": "https://app.example.com/other", "useDev": true}); got != "https://app.example.com/other" {
			t.Errorf("leads to %s", got)
		}
	})
	t.Run("STACKBE-58 STACKBE-59", func(t *testing.T) {
		if got := leads(t, w, object{"useDev": true}); got != dev {
			t.Errorf("leads to %s", got)
		}
	})
	t.Run("STACKBE-60", func(t *testing.T) {
		w := house(t, func(h *apitest.House) { h.App.Callbacks = origin.Callbacks{} })
		a := refused(t, w.post(auth+"magic-link", object{"email": alice}), 400, "MISSING_REQUIRED_FIELD")
		if !strings.Contains(a.String("message"), "redirectUrl") || len(w.Mail.Sent()) != 0 {
			t.Errorf("%s", a.Text)
		}
	})
}

func TestVerificationURL(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.App.VerificationURL = "https://yourapp.example/auth/verify" })
	t.Run("STACKBE-61 STACKBE-67", func(t *testing.T) {
		link := w.link(object{"email": alice})
		if !regexp.MustCompile(`^https://yourapp\.example/auth/verify\?token=[A-Za-z0-9]{48}&appId=shop$`).MatchString(link.String()) {
			t.Errorf("link %s", link)
		}
		m := w.LastMail()
		if strings.Contains(m.Text+m.HTML+m.Subject, w.Origin.Host()) || !strings.Contains(m.Text, link.String()) {
			t.Errorf("the mail names the API's host, or has no link:\n%s", m.Text)
		}
	})
	t.Run("STACKBE-65", func(t *testing.T) {
		w.App.VerificationURL = "https://yourapp.example/auth/verify?lang=de"
		link := w.link(object{"email": bob})
		if q := link.Query(); q.Get("lang") != "de" || q.Get("token") == "" || q.Get("appId") != "shop" {
			t.Errorf("link %s", link)
		}
	})
}

func TestMailIsBounded(t *testing.T) {
	t.Run("STACKBE-108", func(t *testing.T) {
		w := house(t, nil)
		for range 5 {
			want(t, w.post(auth+"magic-link", object{"email": alice}), 200)
		}
		a := refused(t, w.post(auth+"magic-link", object{"email": alice}), 429, "")
		if a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		want(t, w.post(auth+"magic-link", object{"email": bob}), 200)
	})
	t.Run("links stay valid beside newer ones", func(t *testing.T) {
		w := house(t, nil)
		first, second := w.token(alice), w.token(alice)
		want(t, w.post(auth+"verify", object{"token": first}), 200)
		want(t, w.post(auth+"verify", object{"token": second}), 200)
	})
}
