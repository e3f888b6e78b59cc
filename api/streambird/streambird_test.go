package streambird_test

import (
	"net/url"
	"regexp"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/api/streambird"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

const (
	alice = "alice@example.com"
	bob   = "bob@example.com"
	carol = "carol@example.com"
	phone = "+14155550123"
	root  = "/v1/auth/"
	links = root + "magic_links/"
	otps  = root + "otps/"
	users = root + "users/"

	authenticate = "https://app.example.com/authenticate"
	welcome      = "https://app.example.com/welcome"
	page         = "https://app.example.com" // an origin of the app shop
)

type object = map[string]any

type world struct{ *apitest.House }

// house is an instance with the app shop, which has a redirect of each kind.
func house(t testing.TB, change func(*apitest.House)) *world {
	t.Helper()
	h := apitest.New(t, func(h *apitest.House) {
		for use, to := range map[origin.RedirectUse][]string{
			origin.RedirectLogin:        {authenticate, "https://*.xyz.com/login/verify", "http://localhost:8081/authenticate"},
			origin.RedirectRegistration: {welcome, "http://localhost:8081/authenticate"},
			origin.RedirectInvite:       {"https://app.example.com/invited"},
		} {
			for _, one := range to {
				if err := h.App.Redirects.Add(use, one); err != nil {
					t.Fatal(err)
				}
			}
		}
		orig, err := origin.Parse(page)
		if err != nil {
			t.Fatal(err)
		}
		h.App.Origins = []origin.Origin{orig}
		if change != nil {
			change(h)
		}
	}, func(h *apitest.House) []api.Dialect {
		return []api.Dialect{streambird.New(h.Parts())}
	})
	return &world{h}
}

// call waits for the mail that it may send: mails that wait together are sent
// in no order.
func (w *world) call(method, path string, body any, key string) apitest.Answer {
	w.T.Helper()
	defer w.Quiet()
	return w.Do(method, path, body, "Authorization", "Bearer "+key)
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
func refused(t testing.TB, a apitest.Answer, status int, kind string) apitest.Answer {
	t.Helper()
	want(t, a, status)
	if a.Get("status_code") != float64(status) || a.String("error_type") != kind || a.String("error_message") == "" {
		t.Fatalf("want a refusal %d %s: %s", status, kind, a.Text)
	}
	return a
}

func matches(t testing.TB, what, pattern, got string) {
	t.Helper()
	if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		t.Errorf("%s is %q", what, got)
	}
}

// mailed returns the link of the newest mail.
func (w *world) mailed() *url.URL {
	w.T.Helper()
	u, err := url.Parse(w.LastMail().Link)
	if err != nil {
		w.T.Fatal(err)
	}
	return u
}

// login asks for a link and returns the answer and the link's token.
func (w *world) login(body object) (apitest.Answer, string) {
	w.T.Helper()
	a := want(w.T, w.post(links+"email/login_or_create", body), 200)
	return a, w.mailed().Query().Get("token")
}

// token makes a token without a mail, for an address that becomes a user's.
func (w *world) token(email string) string {
	w.T.Helper()
	w.user(email)
	return want(w.T, w.post(links+"create", object{"email": email}), 200).String("token")
}

// user makes a user and returns the id.
func (w *world) user(email string) string {
	w.T.Helper()
	a := w.post(users+"create", object{"email": email})
	if a.Status == 409 {
		a = want(w.T, w.post(users+"search", object{"filters": object{"fields": []object{{"field": "email", "operator": "eq", "value": email}}}}), 200)
		return a.Get("users").([]any)[0].(object)["user_id"].(string)
	}
	return want(w.T, a, 200).String("user_id")
}

// signIn returns what verify says with a new session of 60 minutes.
func (w *world) signIn(email string) apitest.Answer {
	w.T.Helper()
	return want(w.T, w.post(links+"verify", object{"token": w.token(email), "session_expires_in": 60}), 200)
}
