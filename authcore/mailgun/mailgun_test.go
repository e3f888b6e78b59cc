package mailgun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/mailgun"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ outbox.Sender = (*mailgun.Sender)(nil)

const apiKey = "key-0123456789abcdef"

func message(t *testing.T) outbox.Message {
	t.Helper()
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		FromName: "Example", FromAddress: "login@example.com", To: to,
		Subject: "482913 is your Example sign-in code",
		Text:    "482913 is your code.\n\nhttps://app.example.com/_gatehouse/link/abc\n",
		HTML:    "<p>482913</p>\n",
		Date:    time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC), MessageID: "abc@example.com",
		References: "login.x@example.com",
	}
}

// api is a Mailgun that answers with handle.
func api(t *testing.T, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	return srv
}

func sender(t *testing.T, base string) *mailgun.Sender {
	t.Helper()
	s, err := mailgun.New(mailgun.Config{Domain: "mg.example.com", APIKey: apiKey, BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func queued(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"<abc@example.com>","message":"Queued. Thank you."}`)
}

func TestSendsTheWholeMessageUntracked(t *testing.T) {
	for _, suffix := range []string{"", "/", "/v3", "/v3/", "/prefix/v4"} {
		requests := 0
		srv := api(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			checkRequest(t, r, suffix)
			queued(w)
		})
		if err := sender(t, srv.URL+suffix).Send(t.Context(), message(t)); err != nil {
			t.Error(err)
		}
		if requests != 1 {
			t.Errorf("%d requests", requests)
		}
	}
}

func checkRequest(t *testing.T, r *http.Request, suffix string) {
	t.Helper()
	path := "/v3/mg.example.com/messages.mime"
	if strings.Contains(suffix, "prefix") {
		path = "/prefix/v4/mg.example.com/messages.mime"
	}
	if r.Method != http.MethodPost || r.URL.Path != path || r.URL.RawQuery != "" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	if user, key, _ := r.BasicAuth(); user != "api" || key != apiKey {
		t.Errorf("signed in as %q with %q", user, key)
	}
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		t.Error(err)
		return
	}
	want := url.Values{
		"to":         {"alice@example.com"},
		"o:tracking": {"no"}, "o:tracking-clicks": {"no"}, "o:tracking-opens": {"no"},
	}
	if diff := cmp.Diff(want, url.Values(r.MultipartForm.Value)); diff != "" {
		t.Errorf("fields, -want +got:\n%s", diff)
	}
	files := r.MultipartForm.File["message"]
	if len(files) != 1 || len(r.MultipartForm.File) != 1 {
		t.Errorf("files %v", r.MultipartForm.File)
		return
	}
	f, err := files[0].Open()
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	got, _ := io.ReadAll(f)
	mime, err := rfc5322.Encode(message(t))
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(string(mime), string(got)); diff != "" {
		t.Errorf("message, -want +got:\n%s", diff)
	}
}

func TestWhatAnswersMean(t *testing.T) {
	down, rejected := outbox.SenderDown, outbox.Rejected
	for status, want := range map[int]outbox.SendFault{
		301: down, 302: down, 307: down, 308: down,
		400: rejected, 402: rejected, 406: rejected, 413: rejected, 422: rejected,
		401: down, 403: down, 404: down, 408: down, 429: down,
		500: down, 502: down, 503: down, 504: down, 599: down,
	} {
		followed := false
		elsewhere := api(t, func(w http.ResponseWriter, _ *http.Request) { followed = true; queued(w) })
		srv := api(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"message":"alice@example.com 482913 is not welcome, key-0123456789abcdef"}`)
		})
		err := sender(t, srv.URL).Send(t.Context(), message(t))
		wantFault(t, err, want, fmt.Sprint(status))
		if followed {
			t.Errorf("%d: the mail was sent to another host", status)
		}
	}
}

// What Mailgun says stands in the error, and tells whether it is the recipient's
// fault: else somebody has to see to the account.
func TestMailgunsOwnWords(t *testing.T) {
	for _, c := range []struct {
		status    int
		body, has string
		recipient bool
	}{
		{400, `{"message":"'to' parameter is not a valid address. please check documentation"}`, "'to' parameter is not a valid address", true},
		{400, `{"message":"to parameter is not a valid address. please check documentation"}`, "not a valid address", true},
		{400, `{"message":"Domain mg.example.com is not allowed to send: recipient limit exceeded. Please activate your Mailgun account."}`, "activate your Mailgun account", false},
		{402, `{"message":"Payment required"}`, "HTTP 402: Payment required", false},
		{401, "Forbidden", "check api_key and region: Forbidden", false},
		{502, "<html><body>alice@example.com</body></html>", "HTTP 502", false},
	} {
		srv := api(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		var failed *outbox.SendError
		err := sender(t, srv.URL).Send(t.Context(), message(t))
		if !errors.As(err, &failed) || !strings.Contains(failed.Reason, c.has) || failed.Recipient != c.recipient || strings.Contains(failed.Reason, "<html>") {
			t.Errorf("%d %s: %+v", c.status, c.body, failed)
		}
	}
}

func wantFault(t *testing.T, err error, want outbox.SendFault, words string) {
	t.Helper()
	var failed *outbox.SendError
	if !errors.As(err, &failed) {
		t.Errorf("got %v, want a SendError", err)
		return
	}
	if failed.Fault != want || !strings.Contains(failed.Reason, words) {
		t.Errorf("got %v, want %v with %q", failed, want, words)
	}
	for _, secret := range []string{"alice", "482913", apiKey} {
		if strings.Contains(failed.Error(), secret) {
			t.Errorf("the error tells %q: %v", secret, failed)
		}
	}
}

func TestNoUsableAnswerMeansDown(t *testing.T) {
	for words, handle := range map[string]http.HandlerFunc{
		"not Mailgun's": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") },
		"EOF":           func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"the answer": func(w http.ResponseWriter, _ *http.Request) {
			for range 1024 {
				_, _ = w.Write(make([]byte, 1024)) // more than is ever read
			}
		},
	} {
		srv := api(t, handle)
		wantFault(t, sender(t, srv.URL).Send(t.Context(), message(t)), outbox.SenderDown, words)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	wantFault(t, sender(t, gone.URL).Send(t.Context(), message(t)), outbox.SenderDown, "refused")
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS() // with a certificate that nobody trusts
	defer encrypted.Close()
	wantFault(t, sender(t, encrypted.URL).Send(t.Context(), message(t)), outbox.SenderDown, "x509")
}

func TestSilentServer(t *testing.T) {
	release, reached := make(chan struct{}), make(chan struct{}, 2)
	srv := api(t, func(http.ResponseWriter, *http.Request) { reached <- struct{}{}; <-release })
	defer close(release)

	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	err := sender(t, srv.URL).Send(ctx, message(t))
	wantFault(t, err, outbox.SenderDown, "stopped")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is lost: %v", err)
	}

	impatient, err := mailgun.New(mailgun.Config{
		Domain: "mg.example.com", APIKey: apiKey, BaseURL: srv.URL, Timeout: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, impatient.Send(t.Context(), message(t)), outbox.SenderDown, "in time")
}

func TestNothingIsSentForAMessageThatCannotBeBuilt(t *testing.T) {
	srv := api(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	m := message(t)
	m.FromName = "x\r\nBcc: mallory@evil.example"
	wantFault(t, sender(t, srv.URL).Send(t.Context(), m), outbox.Rejected, "From name")
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*mailgun.Config){
		"is not a domain": func(c *mailgun.Config) { c.Domain = "" },
		"sending domain":  func(c *mailgun.Config) { c.Domain = "https://mg.example.com" },
		"api_key":         func(c *mailgun.Config) { c.APIKey = "" },
		"white space":     func(c *mailgun.Config) { c.APIKey = "key\n" },
		"us or eu":        func(c *mailgun.Config) { c.Region = "asia" },
		"exclude each":    func(c *mailgun.Config) { c.Region, c.BaseURL = "eu", "https://x.example" },
		"not a URL":       func(c *mailgun.Config) { c.BaseURL = "api.example" },
		"not a URL like ": func(c *mailgun.Config) { c.BaseURL = "https://u:p@api.example" },
		"https://":        func(c *mailgun.Config) { c.BaseURL = "http://api.example" },
		"plain http":      func(c *mailgun.Config) { c.BaseURL = "http://127.evil.example" },
	} {
		c := mailgun.Config{Domain: "mg.example.com", APIKey: apiKey}
		change(&c)
		if _, err := mailgun.New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), apiKey) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestAPIKeyNeverShows(t *testing.T) {
	c := mailgun.Config{Domain: "mg.example.com", APIKey: apiKey}
	s, err := mailgun.New(c)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s %v %+v %#v %q %v %+v", asJSON, c, c, c, c.APIKey, s, *s); strings.Contains(got, apiKey) {
		t.Errorf("the key shows: %s", got)
	}
}
