package graph_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/graph"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "s3cret~of-the.application"

func message(t *testing.T) outbox.Message {
	t.Helper()
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return outbox.Message{
		FromName: "Example", FromAddress: "login@example.com", To: to, ReplyTo: "help@example.com",
		Subject: "482913 is your Example sign-in code", Code: "482913",
		Text: "482913 is your code.\n", HTML: "<p>482913</p>\n", EntityRef: "ref-1", Language: "en",
		Date: time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC), MessageID: "abc@example.com",
	}
}

// api is Graph: it takes good tokens alone and checks what it is given.
type api struct {
	*testing.T
	provider *oauthtest.Provider
	mu       sync.Mutex
	bodies   []string
	requests int
	fail     http.HandlerFunc
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	if a.fail != nil {
		a.fail(w, r)
		return
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !a.provider.Good(token) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"code":"InvalidAuthenticationToken","message":"Lifetime validation failed, the token is expired."}}`)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1.0/users/login@example.com/sendMail" || r.Header.Get("Content-Type") != "application/json" || r.URL.RawQuery != "" {
		a.Errorf("%s %s %s", r.Method, r.URL, r.Header)
	}
	body, _ := io.ReadAll(r.Body)
	a.bodies = append(a.bodies, string(body))
	w.WriteHeader(http.StatusAccepted)
}

func (a *api) failWith(handle http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = handle
}

func (a *api) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

func start(t *testing.T) (*api, *graph.Sender) {
	t.Helper()
	a := &api{T: t, provider: oauthtest.Start(t, oauthtest.Options{ClientID: "app", ClientSecret: secret, Scope: "https://graph.microsoft.com/.default"})}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	tokens, err := oauth.New(oauth.Config{TokenURL: a.provider.URL, ClientID: "app", ClientSecret: secret, Scopes: []string{"https://graph.microsoft.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := graph.New(oauth.Mailbox{User: "login@example.com", Tokens: tokens, BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	return a, s
}

func TestSendsAndKeepsNoCopy(t *testing.T) {
	a, s := start(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(a.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	must := json.Unmarshal([]byte(`{"saveToSentItems":false,"message":{
		"subject":"482913 is your Example sign-in code","body":{"contentType":"html","content":"<p>482913</p>\n"},
		"from":{"emailAddress":{"name":"Example","address":"login@example.com"}},
		"toRecipients":[{"emailAddress":{"address":"alice@example.com"}}],"replyTo":[{"emailAddress":{"address":"help@example.com"}}],
		"internetMessageId":"<abc@example.com>",
		"internetMessageHeaders":[{"name":"X-Auto-Response-Suppress","value":"All"},{"name":"X-Entity-Ref-ID","value":"ref-1"}]}}`), &want)
	if diff := cmp.Diff(want, got); diff != "" || must != nil {
		t.Errorf("-want +got:\n%s", diff)
	}
	m := message(t)
	m.HTML = ""
	if err := s.Send(t.Context(), m); err != nil || !strings.Contains(a.bodies[1], `"contentType":"text","content":"482913 is your code.\n"`) {
		t.Errorf("%v %s", err, a.bodies[1])
	}
	m.FromName = "x\r\nBcc: mallory@evil.example"
	var failed *outbox.SendError
	if err := s.Send(t.Context(), m); !errors.As(err, &failed) || failed.Fault != outbox.Rejected || len(a.bodies) != 2 {
		t.Error(err)
	}
}

func TestTokenThatEndsIsReplacedOnce(t *testing.T) {
	a, s := start(t)
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	a.provider.End()
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	if a.count() != 3 || len(a.bodies) != 2 {
		t.Errorf("%d requests, %d mails", a.count(), len(a.bodies))
	}
	a.failWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	wantFailure(t, s.Send(t.Context(), message(t)), outbox.SenderDown, false, "401", "check the permissions")
	if a.count() != 5 {
		t.Errorf("%d requests", a.count()-3)
	}
}

func wantFailure(t *testing.T, err error, fault outbox.SendFault, recipient bool, words ...string) {
	t.Helper()
	var failed *outbox.SendError
	if !errors.As(err, &failed) || failed.Fault != fault || failed.Recipient != recipient {
		t.Fatalf("%+v", err)
	}
	for _, word := range words {
		if !strings.Contains(failed.Reason, word) {
			t.Errorf("%q lacks %q", failed.Reason, word)
		}
	}
	for _, word := range []string{"alice", "482913", "access-", secret} {
		if strings.Contains(failed.Reason, word) {
			t.Errorf("%q tells %q", failed.Reason, word)
		}
	}
}

func TestWhatAnswersMean(t *testing.T) {
	a, s := start(t)
	for _, c := range []struct {
		status    int
		body      string
		fault     outbox.SendFault
		recipient bool
		words     string
	}{
		{403, `{"error":{"code":"ErrorAccessDenied","message":"Access is denied. Check credentials and try again."}}`, outbox.SenderDown, false, "ErrorAccessDenied Access is denied"},
		{404, `{"error":{"code":"ErrorInvalidUser","message":"The requested user is invalid."}}`, outbox.SenderDown, false, "check user"},
		{400, `{"error":{"code":"ErrorInvalidRecipients","message":"alice@example.com 482913 isn't resolved."}}`, outbox.Rejected, true, "ErrorInvalidRecipients [...] [...]"},
		{400, `{"error":{"code":"ErrorMessageSizeExceeded","message":"too big"}}`, outbox.Rejected, false, "too big"},
		{500, `oops`, outbox.SenderDown, false, "500"},
		{503, `<html>`, outbox.SenderDown, false, "503"},
		{302, ``, outbox.SenderDown, false, "302"},
	} {
		a.failWith(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://evil.example/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body+"")
		})
		wantFailure(t, s.Send(t.Context(), message(t)), c.fault, c.recipient, c.words)
	}
	a.failWith(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	wantFailure(t, s.Send(t.Context(), message(t)), outbox.SenderDown, false, "EOF")
}

// While Graph wants no request it gets none, and counts as down for the queue.
func TestRetryAfter(t *testing.T) {
	a, s := start(t)
	a.failWith(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"code":"ApplicationThrottled","message":"Application is over its MailboxConcurrency limit."}}`)
	})
	wantFailure(t, s.Send(t.Context(), message(t)), outbox.SenderDown, false, "ApplicationThrottled")
	a.failWith(nil)
	wantFailure(t, s.Send(t.Context(), message(t)), outbox.SenderDown, false, "ApplicationThrottled")
	wantFailure(t, s.Check(t.Context()), outbox.SenderDown, false, "ApplicationThrottled")
	if a.count() != 1 {
		t.Errorf("%d requests", a.count())
	}
}
