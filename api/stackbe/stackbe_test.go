package stackbe_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/stackbe"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

const (
	alice    = "alice@example.com"
	bob      = "bob@example.com"
	callback = "https://app.example.com/auth/callback"
	auth     = "/v1/apps/shop/auth/"
	orgs     = "/v1/apps/shop/organizations"
)

// house is an instance with the app shop, whose people get the plan free.
func house(t testing.TB, change func(*apitest.House)) *world {
	t.Helper()
	h := apitest.New(t, func(h *apitest.House) {
		callbacks, err := origin.ParseCallbacks([]string{callback, "https://app.example.com/*", "https://*.vercel.app/*"})
		if err != nil {
			t.Fatal(err)
		}
		h.App.Callbacks, h.App.Organizations = callbacks, true
		h.App.Plans = []apps.Plan{
			{ID: "free", Name: "Free", Entitlements: map[string]any{"seats": int64(3), "none": int64(0), "export": false, "chat": true, "regions": []string{"eu", "us"}}},
			{ID: "pro", Entitlements: map[string]any{"seats": int64(50), "export": true}},
		}
		if change != nil {
			change(h)
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{stackbe.New(h.Parts())}
	})
	return &world{h}
}

type world struct{ *apitest.House }

type object = map[string]any

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// call makes a call with a key or a session token, and waits for the mail that
// it may send: mails that wait together are sent in no order.
func (w *world) call(method, path string, body any, token string) apitest.Answer {
	w.T.Helper()
	defer w.Quiet()
	return w.Do(method, path, body, bearer(token)...)
}

func (w *world) post(path string, body any) apitest.Answer {
	w.T.Helper()
	return w.call("POST", path, body, apitest.LiveKey)
}

func (w *world) get(path string) apitest.Answer {
	w.T.Helper()
	return w.call("GET", path, nil, apitest.LiveKey)
}

// want fails the test unless the answer has this status.
func want(t testing.TB, a apitest.Answer, status int) apitest.Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Text)
	}
	return a
}

// refused fails the test unless the answer is a refusal in the documented form.
func refused(t testing.TB, a apitest.Answer, status int, code string) apitest.Answer {
	t.Helper()
	want(t, a, status)
	if a.Get("statusCode") != float64(status) || a.String("message") == "" || a.String("error") != http.StatusText(status) || a.String("code") != code {
		t.Fatalf("want a refusal %d %q: %s", status, code, a.Text)
	}
	return a
}

// link asks for a magic link and returns the one in the mail.
func (w *world) link(body object) *url.URL {
	w.T.Helper()
	want(w.T, w.post(auth+"magic-link", body), 200)
	return w.mailed()
}

func (w *world) mailed() *url.URL {
	w.T.Helper()
	u, err := url.Parse(w.LastMail().Link)
	if err != nil {
		w.T.Fatal(err)
	}
	return u
}

// token asks for a magic link and returns its token.
func (w *world) token(email string) string {
	w.T.Helper()
	return w.link(object{"email": email}).Query().Get("token")
}

// signIn returns what verify says about a new session.
func (w *world) signIn(email string) apitest.Answer {
	w.T.Helper()
	return want(w.T, w.post(auth+"verify", object{"token": w.token(email)}), 200)
}

// session returns the token of a new session.
func (w *world) session(email string) string {
	w.T.Helper()
	return w.signIn(email).String("sessionToken")
}

// customer makes a customer and returns the id.
func (w *world) customer(email string) string {
	w.T.Helper()
	a := w.post("/v1/customers", object{"email": email})
	if a.Status != 200 && a.Status != 201 {
		w.T.Fatal(a.Text)
	}
	return a.String("id")
}

// location reads a redirect.
func location(t testing.TB, a apitest.Answer) *url.URL {
	t.Helper()
	if a.Status != 302 && a.Status != 303 {
		t.Fatalf("status %d, want a redirect: %s", a.Status, a.Text)
	}
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// visit opens a path of ours as a browser does.
func (w *world) visit(method string, u *url.URL, query string, headers ...string) apitest.Answer {
	w.T.Helper()
	path := u.Path + "?" + u.RawQuery + query
	var body any
	if method == "POST" {
		body = url.Values{}
	}
	return w.Do(method, path, body, append([]string{"Accept", "text/html", "User-Agent", "Mozilla/5.0 Firefox/140.0"}, headers...)...)
}

func isPage(t testing.TB, a apitest.Answer, status int, words string) {
	t.Helper()
	want(t, a, status)
	if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.Text, words) {
		t.Fatalf("want a page with %q: %s", words, a.Text)
	}
}
