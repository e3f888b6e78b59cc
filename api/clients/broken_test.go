package clients_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

// shapes tell whether an answer is a refusal as the clients of a dialect read
// one.
var shapes = map[string]func(a apitest.Answer) bool{
	"link": func(a apitest.Answer) bool {
		text, _ := a.Get("errorMessage").(string)
		return a.Get("result") == "error" && a.Get("authenticationSuccessful") == false && text != ""
	},
	"reflex": func(a apitest.Answer) bool {
		text, _ := a.Get("message").(string)
		return text != "" && a.Get("otp") == nil && a.Get("valid") != true && a.Get("session_is_valid") != true
	},
	"stackbe": func(a apitest.Answer) bool {
		text, _ := a.Get("message").(string)
		return a.Get("statusCode") == float64(a.Status) && a.Get("error") == http.StatusText(a.Status) && text != "" && a.Header.Get("X-RateLimit-Limit") != ""
	},
	"streambird": func(a apitest.Answer) bool {
		kind, _ := a.Get("error_type").(string)
		text, _ := a.Get("error_message").(string)
		return a.Get("status_code") == float64(a.Status) && kind != "" && text != ""
	},
}

// posts are the calls of each dialect that take a body.
var posts = map[string][]string{
	"link":    {"/api/lookup-email", "/lookup", "/api/start_verification", "/start_verification", "/api/authenticate", "/authenticate"},
	"reflex":  {"/reflex/otp", "/reflex/validate"},
	"stackbe": {"/auth/magic-link", "/v1/apps/shop/auth/magic-link", "/v1/apps/shop/auth/verify", "/v1/customers", "/v1/apps/shop/organizations"},
	"streambird": {
		"/v1/auth/magic_links/email/login_or_create", "/v1/auth/magic_links/email/invite", "/v1/auth/magic_links/create", "/v1/auth/magic_links/verify",
		"/v1/auth/magic_links/email/login_status", "/v1/auth/otps/email/login_or_create", "/v1/auth/otps/email/send", "/v1/auth/otps/sms/login_or_create",
		"/v1/auth/otps/sms/send", "/v1/auth/otps/verify", "/v1/auth/sessions/verify", "/v1/auth/users/create", "/v1/auth/users/search",
		"/v1/auth/sdk/sessions/verify", "/v1/auth/sdk/sessions/delete", "/v1/auth/sdk/users/me", "/v1/auth/sdk/users/update",
	},
}

// TestBrokenRequests sends what no client should. Each is refused with the right
// status in the shape that the dialect's clients read, nobody is made and
// nothing sent.
func TestBrokenRequests(t *testing.T) {
	h := house(t, nil)
	const email = `"email":"alice@example.com"`
	good := `{` + email + `}`
	deep := `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`
	broken := []struct {
		what, body string
		headers    []string
		status     int
	}{
		{"text", good, []string{"Content-Type", "text/plain"}, 415},
		{"XML", good, []string{"Content-Type", "application/xml"}, 415},
		{"many parts", good, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"UTF-16", good, []string{"Content-Type", "application/json; charset=utf-16"}, 415},
		{"a media type that is none", good, []string{"Content-Type", "application/json; charset"}, 415},
		{"two media types", good, []string{"Content-Type", "application/json", "Content-Type", "text/plain"}, 415},
		{"packed", good, []string{"Content-Encoding", "gzip"}, 415},
		{"too large", `{"x":"` + strings.Repeat("x", 64<<10) + `"}`, nil, 413},
		{"too large and broken", strings.Repeat("x", 65<<10), nil, 413},
		{"broken", `{` + email, nil, 400},
		{"two objects", good + good, nil, 400},
		{"a list", `[` + good + `]`, nil, 400},
		{"null", `null`, nil, 400},
		{"a name twice", `{` + email + `,"email":"mallory@example.com"}`, nil, 400},
		{"a name twice in another case", `{` + email + `,"Email":"mallory@example.com"}`, nil, 400},
		{"a name twice in escapes", `{` + email + `,"em\u0061il":"mallory@example.com"}`, nil, 400},
		{"a name twice inside", `{` + email + `,"x":{"a":1,"a":2}}`, nil, 400},
		{"not UTF-8", "{\"email\":\"alice\xff@example.com\"}", nil, 400},
		{"too deep", deep, nil, 400},
		{"a byte order mark", "\ufeff" + good, nil, 400},
	}
	for dialect, paths := range posts {
		refused := shapes[dialect]
		for _, path := range paths {
			for _, b := range broken {
				a := h.Do("POST", path, b.body, append(b.headers, "Authorization", "Bearer "+apitest.LiveKey)...)
				if a.Status != b.status || !refused(a) {
					t.Errorf("%s, %s: %d %s", path, b.what, a.Status, a.Text)
				}
			}
			for _, method := range []string{"PUT", "DELETE", "TRACE", "FOO"} {
				if a := h.Do(method, path, nil, "Authorization", "Bearer "+apitest.LiveKey); a.Status != 405 || a.Header.Get("Allow") == "" || !refused(a) {
					t.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
				}
			}
		}
	}
	for path, dialect := range map[string]string{
		"/api/nothing": "link", "/api/authenticate/x": "link", "/reflex/nothing": "reflex", "/v1/apps/shop/nothing": "stackbe", "/v1/apps/shop/auth/verify/x": "stackbe",
		"/v1/customers/x/y": "stackbe", "/v1/auth/nothing": "streambird", "/v1/auth/users/x/y/z": "streambird",
	} {
		if a := h.Do("GET", path, nil); a.Status != 404 || !shapes[dialect](a) {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	for _, path := range []string{"/", "/v1", "/v1/else", "/reflex", "/api"} { // nobody's
		if a := h.Do("GET", path, nil); a.Status != 404 || a.JSON != nil {
			t.Errorf("%s: %d %s", path, a.Status, a.Text)
		}
	}
	for path, dialect := range map[string]string{"/reflex/otp": "reflex", "/v1/customers": "stackbe", "/v1/auth/users/create": "streambird"} {
		for what, headers := range map[string][]string{
			"no key": nil, "another scheme": {"Authorization", "Basic " + apitest.LiveKey}, "an unknown key": {"Authorization", "Bearer sk_live_x"},
			"two keys": {"Authorization", "Bearer " + apitest.LiveKey, "Authorization", "Bearer " + apitest.TestKey},
		} {
			if a := h.Do("POST", path, good, headers...); a.Status != 401 || !shapes[dialect](a) {
				t.Errorf("%s, %s: %d %s", path, what, a.Status, a.Text)
			}
		}
		if a := h.Do("POST", path, good, "Authorization", "Bearer "+apitest.LivePub); a.Status != 403 || !shapes[dialect](a) {
			t.Errorf("%s with a publishable key: %d %s", path, a.Status, a.Text)
		}
	}
	h.Quiet()
	if n := len(h.Mail.Sent()); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
	if a := h.Do("GET", "/v1/customers?email=alice%40example.com", nil, "Authorization", "Bearer "+apitest.LiveKey); a.Status != 404 {
		t.Errorf("somebody was made: %d %s", a.Status, a.Text)
	}
}
