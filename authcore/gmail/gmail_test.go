package gmail_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/gmail"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const scope = "https://www.googleapis.com/auth/gmail.send"

func TestSendsTheWholeMessage(t *testing.T) {
	p := oauthtest.Start(t, oauthtest.Options{ServiceAccount: "mailer@test.iam.gserviceaccount.com", Subject: "login@example.com", Scope: scope})
	to, err := address.Parse("alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	m := outbox.Message{
		FromName: "Example", FromAddress: "login@example.com", To: to, Subject: "482913 is your code", Code: "482913",
		Text: "482913 is your code.\n", HTML: "<p>482913</p>\n", Date: time.Date(2026, 11, 21, 14, 25, 0, 0, time.UTC), MessageID: "abc@example.com",
	}
	want, err := rfc5322.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	sent, refuse := 0, false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !p.Good(token):
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`)
			return
		case refuse:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":{"code":400,"message":"Invalid To header: alice@example.com","status":"INVALID_ARGUMENT"}}`)
			return
		}
		var body struct{ Raw string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost || r.URL.Path != "/gmail/v1/users/login@example.com/messages/send" {
			t.Errorf("%s %s %v", r.Method, r.URL, err)
		}
		if got, err := base64.URLEncoding.DecodeString(body.Raw); err != nil || string(got) != string(want) {
			t.Errorf("%v\n%s", err, got)
		}
		sent++
		_, _ = io.WriteString(w, `{"id":"1","labelIds":["SENT"]}`)
	}))
	defer srv.Close()
	tokens, err := oauth.New(oauth.Config{ServiceAccount: outbox.Credential(p.KeyFile(t)), Subject: "login@example.com", Scopes: []string{scope}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := gmail.New(oauth.Mailbox{User: "login@example.com", Tokens: tokens, BaseURL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Check(t.Context()), s.Send(t.Context(), m)); err != nil {
		t.Fatal(err)
	}
	p.End()
	if err := s.Send(t.Context(), m); err != nil || sent != 2 {
		t.Fatal(err, sent)
	}
	refuse = true
	var failed *outbox.SendError
	if err := s.Send(t.Context(), m); !errors.As(err, &failed) || failed.Fault != outbox.Rejected || !failed.Recipient || !strings.Contains(failed.Reason, "INVALID_ARGUMENT Invalid To header: [...]") {
		t.Errorf("%+v", err)
	}
}
