package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth/oauthtest"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp/smtptest"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// graphAPI is Microsoft Graph as far as mail is sent by it.
type graphAPI struct {
	provider *oauthtest.Provider
	mails    chan string
}

func (g *graphAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !g.provider.Good(token) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	g.mails <- string(body)
}

// withoutMail is the configuration of an operated Caddy with other senders.
func (o *operated) withoutMail(mail, who string) []byte {
	o.Helper()
	config := string(o.config(mail, who))
	var app map[string]any
	must(o, json.Unmarshal([]byte(config), &app))
	gatehouse := app["apps"].(map[string]any)["gatehouse"].(map[string]any)
	gatehouse["mail"] = gatehouse["mail"].([]any)[1:]
	out, err := json.Marshal(app)
	must(o, err)
	return out
}

// A person signs in with a mail that went through Graph; the refresh token that
// the provider replaced is kept over a restart, and nowhere to be read.
func TestMailThroughGraph(t *testing.T) {
	o := newOperated(t)
	p := oauthtest.Start(t, oauthtest.Options{ClientID: "app-id", ClientSecret: "s3cret~of-the.app", Scope: "https://graph.microsoft.com/Mail.Send offline_access", Refresh: "refresh-first", Rotate: true})
	api := &graphAPI{p, make(chan string, 10)}
	srv := httptest.NewServer(api)
	defer srv.Close()
	must(t, os.WriteFile(filepath.Join(o.dir, "refresh"), []byte("refresh-first\n"), 0o600))
	config := o.withoutMail(fmt.Sprintf(`mail graph example.onmicrosoft.com {
			client_id app-id
			client_secret s3cret~of-the.app
			refresh_token {file.%s/refresh}
			token_url %s
			base_url %s
			user login@example.com
		}`, o.dir, p.URL, srv.URL), "staff")
	for range 2 {
		o.load(config)
		o.asks("alice@example.com")
		var sent struct {
			Message struct {
				Body struct{ Content string }
			}
			SaveToSentItems *bool
		}
		must(t, json.Unmarshal([]byte(<-api.mails), &sent))
		if sent.SaveToSentItems == nil || *sent.SaveToSentItems || !strings.Contains(sent.Message.Body.Content, "/_gatehouse/link/") {
			t.Errorf("%+v", sent)
		}
		must(t, caddy.Stop())
	}
	if p.Refresh() == "refresh-first" || len(p.Wrong()) > 0 {
		t.Errorf("%q, %v", p.Refresh(), p.Wrong())
	}
	log, err := os.ReadFile(o.logFile())
	must(t, err)
	if text := string(log); strings.Contains(text, "refresh-") || strings.Contains(text, "s3cret") || strings.Contains(text, "access-") {
		t.Error("a token stands in the log")
	}
	o.load(config)
	text, _, _ := o.command("doctor")
	wantText(t, text, "graph example.com/login: there is a token")
	// Consent is withdrawn: mail is down, and operators read why.
	p.Revoke()
	o.load(config)
	text, _, _ = o.command("doctor")
	wantText(t, text, "error    sender: graph example.com/login: ", "invalid_grant", `"What the answers mean" in docs/mail.md`)
	if strings.Contains(text, "compare address") {
		t.Errorf("advice for SMTP: %s", text)
	}
	o.asks("bob@example.com")
	var s operate.Status
	eventually(t, "mail is down", func() bool {
		o.want(200, "GET", "/gatehouse/status", "", &s)
		return s.Mail.Down
	})
	if sender := s.Mail.Senders[0]; sender.Name != "graph example.com/login" || !strings.Contains(sender.Reason, "invalid_grant") || !strings.Contains(sender.Reason, "give consent again") || strings.Contains(sender.Reason, "refresh-") {
		t.Errorf("%+v", sender)
	}
}

// By SMTP with a token in place of a password, as Microsoft and Google want it.
func TestMailThroughSMTPWithTokens(t *testing.T) {
	o := newOperated(t)
	p := oauthtest.Start(t, oauthtest.Options{ServiceAccount: "mailer@test.iam.gserviceaccount.com", Subject: "login@example.com", Scope: "https://mail.google.com/"})
	srv := smtptest.Start(t, smtptest.Options{TLS: smtptest.NoTLS, InsecureAuth: true, Token: func(user, token string) bool { return user == "login@example.com" && p.Good(token) }})
	key := filepath.Join(o.dir, "google.json")
	must(t, os.WriteFile(key, []byte(p.KeyFile(t)), 0o600))
	config := o.withoutMail(fmt.Sprintf(`mail smtp %s {
			username login@example.com
			tls off
			oauth2 google {
				service_account %s
			}
		}`, srv.Addr, key), "staff")
	o.load(config)
	o.asks("alice@example.com")
	srv.NextTo(t, "alice@example.com")
	p.End() // while the next one waits
	o.asks("bob@example.com")
	srv.NextTo(t, "bob@example.com")
	text, _, _ := o.command("doctor")
	wantText(t, text, "smtp "+srv.Addr+": connection, TLS and sign-in work")
	p.Revoke()
	p.Fail(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Invalid email or User ID"}`)
	})
	text, _, _ = o.command("doctor")
	wantText(t, text, "invalid_grant Invalid email or User ID", "mend the delegation")
}

func TestMailOAuthMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2\n}":                                                                        "something is missing",
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 microsoft\n}":                                                              "the tenant is missing",
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 yahoo {\n client_id x\n client_secret y\n }\n}":                            `provider "yahoo" is unknown`,
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 microsoft a/b {\n client_id x\n client_secret y\n }\n}":                    "not a tenant",
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 microsoft t.example {\n client_secret y\n }\n}":                            "client_id is missing",
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 microsoft t.example {\n client_id y\n }\n}":                                "client_secret is missing",
		"mail smtp smtp.office365.com:587 {\n oauth2 microsoft t.example {\n client_id x\n client_secret y\n }\n}":                                           "oauth2 needs username",
		"mail smtp smtp.office365.com:587 {\n username u@example.com\n password p\n oauth2 microsoft t.example {\n client_id x\n client_secret y\n }\n}":     "no password",
		"mail smtp smtp.office365.com:587 {\n username u@example.com\n oauth2 http://id.example.com/token {\n client_id x\n client_secret y\n }\n}":          "https://",
		"mail smtp smtp.gmail.com:587 {\n username u@example.com\n oauth2 google {\n client_id x\n client_secret y\n }\n}":                                   "google wants a service_account",
		"mail smtp smtp.gmail.com:587 {\n username u@example.com\n oauth2 google x {\n service_account k\n }\n}":                                             "for microsoft alone",
		"mail smtp smtp.gmail.com:587 {\n username u@example.com\n oauth2 google {\n service_account k\n refresh_token r\n }\n}":                             "stands alone",
		"mail smtp smtp.gmail.com:587 {\n username u@example.com\n oauth2 google {\n client_id x\n refresh_token r\n }\n}":                                   "client_secret is missing",
		"mail smtp smtp.office365.com:587 {\n username u@example.com\n oauth2 microsoft t.example {\n service_account k\n }\n}":                              "Google's",
		"mail smtp smtp.office365.com:587 {\n username u@example.com\n oauth2 google {\n service_account k\n }\n oauth2 google {\n service_account k\n }\n}": "written twice",
		"mail graph t.example {\n client_id x\n client_secret y\n}":                                                                                          "is not a mailbox",
		"mail graph {\n client_id x\n}": "something is missing",
		"mail graph t.example {\n client_id x\n client_secret y\n user u@example.com\n username u\n}":                `mail graph has no "username"`,
		"mail gmail {\n user u@example.com\n}":                                                                       "google wants a service_account",
		"mail gmail x {\n user u@example.com\n}":                                                                     "too much on this line",
		"mail graph t.example {\n client_id x\n client_secret y\n user u@example.com\n base_url http://x.example\n}": "base_url",
	} {
		whole := "{\n gatehouse {\n from \"x\" <u@example.com>\n " + text + "\n}\n}\n"
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(whole), map[string]any{"filename": "Caddyfile"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s\nwant %q, got %v", text, want, err)
		}
	}
	for _, text := range []string{
		"mail smtp smtp.office365.com:587 {\n username login@example.com\n oauth2 microsoft t.example {\n client_id {env.X}\n client_secret {file./x}\n scope a b\n }\n}",
		"mail smtp smtp.gmail.com:587 {\n username login@example.com\n oauth2 google {\n service_account /etc/google.json\n }\n}",
		"mail smtp mail.example.com:587 {\n username login@example.com\n oauth2 https://id.example.com/token {\n client_id x\n client_secret y\n }\n}",
		"mail graph 5f1e0c5e-0000-4000-8000-000000000001 {\n client_id x\n client_secret y\n user login@example.com\n}",
		"mail gmail {\n service_account {file./run/secrets/google}\n user login@example.com\n}",
		"mail gmail {\n client_id x\n client_secret y\n refresh_token z\n user login@example.com\n}",
	} {
		whole := "{\n gatehouse {\n from \"x\" <u@example.com>\n " + text + "\n}\n}\n"
		if _, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(whole), map[string]any{"filename": "Caddyfile"}); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}
