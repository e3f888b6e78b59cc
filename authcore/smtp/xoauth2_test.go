package smtp_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
)

const (
	mailbox      = "login@example.com"
	clientSecret = "s3cret~of-the.application"
)

// withTokens is a provider, a server that takes its tokens alone, and a sender.
func withTokens(t *testing.T) (*oauthtest.Provider, *smtptest.Server, *smtp.Sender) {
	t.Helper()
	p := oauthtest.Start(t, oauthtest.Options{ClientID: "app", ClientSecret: clientSecret, Scope: "https://outlook.office365.com/.default"})
	srv := smtptest.Start(t, smtptest.Options{Token: func(user, token string) bool { return user == mailbox && p.Good(token) }})
	tokens, err := oauth.New(oauth.Config{TokenURL: p.URL, ClientID: "app", ClientSecret: clientSecret, Scopes: []string{"https://outlook.office365.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	return p, srv, sender(t, srv, func(c *smtp.Config) { c.Username, c.Tokens = mailbox, tokens })
}

func TestXOAUTH2(t *testing.T) {
	smtp.IdleFor(t, time.Millisecond)
	p, srv, s := withTokens(t)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	if m := srv.NextTo(t, recipient); m.User != mailbox || !m.TLS {
		t.Errorf("%+v", m)
	}
	if p.Requests() > 2 { // at most one more, to learn how the provider wants the credentials
		t.Errorf("%d requests for one token", p.Requests())
	}
	// The token ends while mail waits: one new one, on a new connection.
	srv.WaitIdle(t)
	before := p.Requests()
	p.End()
	if err := s.Send(t.Context(), message(t)); err != nil {
		t.Fatal(err)
	}
	if p.Requests() != before+1 || len(srv.Messages()) != 2 {
		t.Errorf("%d requests, %d messages", p.Requests()-before, len(srv.Messages()))
	}
	srv.WaitIdle(t)
}

// wantNoToken is wantFault for texts that could hold a token.
func wantNoToken(t *testing.T, err error, words ...string) {
	t.Helper()
	wantFault(t, err, outbox.SenderDown, "")
	var failed *outbox.SendError
	if !errors.As(err, &failed) {
		return
	}
	for _, word := range words {
		if !strings.Contains(failed.Reason, word) {
			t.Errorf("%q lacks %q", failed.Reason, word)
		}
	}
	for _, word := range []string{"access-", clientSecret, base64.StdEncoding.EncodeToString([]byte("user=" + mailbox))[:24]} {
		if strings.Contains(failed.Reason, word) {
			t.Errorf("%q tells %q", failed.Reason, word)
		}
	}
}

// The provider gives tokens that the mail server does not take: a permission is
// missing. It is asked for a second one, not for more.
func TestXOAUTH2TokensThatAreNotTaken(t *testing.T) {
	p, _, _ := withTokens(t)
	srv := smtptest.Start(t, smtptest.Options{Token: func(string, string) bool { return false }})
	tokens, err := oauth.New(oauth.Config{TokenURL: p.URL, ClientID: "app", ClientSecret: clientSecret, Scopes: []string{"https://outlook.office365.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	s := sender(t, srv, func(c *smtp.Config) { c.Username, c.Tokens = mailbox, tokens })
	wantNoToken(t, s.Send(t.Context(), message(t)), "AUTH", "535", `"status":"401"`, "may send by SMTP")
	if n := strings.Count(srv.Transcript(), "AUTH XOAUTH2 "); n != 2 {
		t.Errorf("%d sign-ins", n)
	}
	srv.WaitIdle(t)
}

func TestXOAUTH2WithoutAToken(t *testing.T) {
	p, srv, s := withTokens(t)
	p.Fail(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	wantNoToken(t, s.Send(t.Context(), message(t)), "OAuth", "429")
	wantNoToken(t, s.Check(t.Context()), "OAuth", "429")
	if strings.Contains(srv.Transcript(), "EHLO") {
		t.Error("a connection was made for nothing")
	}
}

func TestXOAUTH2IsNotOffered(t *testing.T) {
	srv := smtptest.Start(t, smtptest.Options{Username: mailbox, Password: password})
	p := oauthtest.Start(t, oauthtest.Options{ClientID: "app", ClientSecret: clientSecret})
	tokens, err := oauth.New(oauth.Config{TokenURL: p.URL, ClientID: "app", ClientSecret: clientSecret})
	if err != nil {
		t.Fatal(err)
	}
	s := sender(t, srv, func(c *smtp.Config) { c.Username, c.Tokens = mailbox, tokens })
	wantNoToken(t, s.Send(t.Context(), message(t)), "this sender speaks XOAUTH2")
	if strings.Contains(srv.Transcript(), "\nAUTH ") {
		t.Error("the token went to a server that did not ask for it")
	}
	for _, change := range []func(*smtp.Config){
		func(c *smtp.Config) { c.Username = "" },
		func(c *smtp.Config) { c.Password = password },
		func(c *smtp.Config) { c.TLS, c.Host = smtp.Off, "mail.example.com" },
	} {
		c := smtp.Config{Host: srv.Host, Port: srv.Port, Username: mailbox, Tokens: tokens}
		change(&c)
		if _, err := smtp.New(c); err == nil {
			t.Errorf("%+v", c)
		}
	}
}
