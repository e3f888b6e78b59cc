package senders

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// OAuth2 says how a sender gets access tokens, in place of a password.
type OAuth2 struct {
	// Provider is microsoft or google; empty for another, with a TokenURL.
	Provider string `json:"provider,omitempty"`
	// Tenant is the organization at Microsoft: its id or a domain of it.
	Tenant string `json:"tenant,omitempty"`
	// TokenURL is the token endpoint. Default: the provider's.
	TokenURL string `json:"token_url,omitempty"`
	// ClientID is the application's id. Like the secrets it takes {env.NAME} and
	// {file./path}.
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// Scope is what the tokens are for. Default: sending mail, by provider.
	Scope []string `json:"scope,omitempty"`
	// RefreshToken stands for a person's consent. One that the provider puts in
	// its place is kept in the store.
	RefreshToken string `json:"refresh_token,omitempty"`
	// ServiceAccount is the path of a Google service account's JSON key.
	ServiceAccount string `json:"service_account,omitempty"`
}

const (
	providerMicrosoft = "microsoft"
	providerGoogle    = "google"
)

// readOAuth2 reads oauth2 in mail smtp.
func readOAuth2(s *SMTP, d *caddyfile.Dispenser) error {
	const try = "oauth2 microsoft example.onmicrosoft.com {\n        client_id {env.MAIL_CLIENT_ID}\n        client_secret {file./run/secrets/mail-client}\n    }"
	if err := option.Once("oauth2", s.OAuth2 != nil); err != nil {
		return err
	}
	args, err := option.Arguments(d, 1, 2, try)
	if err != nil {
		return err
	}
	o := &OAuth2{Provider: args[0]}
	if strings.Contains(args[0], "://") {
		o.Provider, o.TokenURL = "", args[0]
	}
	if len(args) == 2 {
		o.Tenant = args[1]
	}
	if o.Provider == providerMicrosoft && o.Tenant == "" {
		return option.Missing("oauth2 microsoft: the tenant is missing", try)
	}
	s.OAuth2 = o
	return option.Block[*OAuth2]{Of: "oauth2", Words: oauth2Words(func(o *OAuth2) *OAuth2 { return o })}.Read(d, o)
}

// oauth2Words are the lines of oauth2, which mail graph and mail gmail have
// among their own.
func oauth2Words[T any](of func(T) *OAuth2) []option.Word[T] {
	return []option.Word[T]{
		option.Text("client_id {env.MAIL_CLIENT_ID}", func(t T) *string { return &of(t).ClientID }),
		option.Text("client_secret {file./run/secrets/mail-client}", func(t T) *string { return &of(t).ClientSecret }),
		option.Line("scope", func(t T, d *caddyfile.Dispenser) error {
			if err := option.Once("scope", of(t).Scope != nil); err != nil {
				return err
			}
			args, err := option.Arguments(d, 1, option.Many, "scope https://graph.microsoft.com/.default")
			of(t).Scope = args
			return err
		}),
		option.Text("refresh_token {file./run/secrets/mail-refresh}", func(t T) *string { return &of(t).RefreshToken }),
		option.Text("service_account /etc/gatehouse/google.json", func(t T) *string { return &of(t).ServiceAccount }),
		option.Text("token_url https://login.microsoftonline.us/example.onmicrosoft.us/oauth2/v2.0/token", func(t T) *string { return &of(t).TokenURL }),
	}
}

// check finds out what is wrong without the machine. Whose it is stands in front
// of the message.
func (o *OAuth2) check() error {
	const app = "\n    client_id {env.MAIL_CLIENT_ID}\n    client_secret {file./run/secrets/mail-client}"
	if _, err := o.endpoint(); err != nil {
		return err
	}
	google := o.Provider == providerGoogle
	switch {
	case o.Provider != providerMicrosoft && o.Tenant != "":
		return fmt.Errorf("tenant %q is for microsoft alone; take it out", o.Tenant)
	case o.ServiceAccount != "" && !google:
		return errors.New("service_account is Google's; write client_id and client_secret instead")
	case o.ServiceAccount != "" && (o.ClientID != "" || o.ClientSecret != "" || o.RefreshToken != ""):
		return errors.New("service_account stands alone: take client_id, client_secret and refresh_token out, or service_account")
	case o.ServiceAccount != "":
		return nil
	case google && o.RefreshToken == "":
		return errors.New("google wants a service_account, or a refresh_token beside client_id and client_secret; write for example\n    service_account /etc/gatehouse/google.json")
	case o.ClientID == "":
		return errors.New("client_id is missing; write for example" + app)
	case o.ClientSecret == "" && (google || o.RefreshToken == ""):
		return errors.New("client_secret is missing; write for example" + app)
	}
	return nil
}

// endpoint is where tokens come from.
func (o *OAuth2) endpoint() (string, error) {
	var own string
	var err error
	switch o.Provider {
	case providerMicrosoft:
		own, err = oauth.MicrosoftURL(o.Tenant)
	case providerGoogle:
		own = oauth.GoogleURL()
	case "":
		if o.TokenURL == "" {
			err = errors.New("the provider is missing; write microsoft <tenant>, google, or the URL of its token endpoint")
		}
	default:
		err = fmt.Errorf("provider %q is unknown; write microsoft <tenant>, google, or the URL of a token endpoint", o.Provider)
	}
	if err != nil || o.TokenURL == "" {
		return own, err
	}
	return o.TokenURL, oauth.CheckURL(o.TokenURL)
}

// scopes are what tokens are asked for, when the configuration does not say: by
// way of sending, and for Microsoft by who asks, the application itself or in the
// name of a person.
func (o *OAuth2) scopes(way string) []string {
	person := o.RefreshToken != ""
	switch {
	case len(o.Scope) > 0:
		return o.Scope
	case o.Provider == providerMicrosoft && way == "graph" && person:
		return []string{"https://graph.microsoft.com/Mail.Send", "offline_access"}
	case o.Provider == providerMicrosoft && way == "graph":
		return []string{"https://graph.microsoft.com/.default"}
	case o.Provider == providerMicrosoft && person:
		return []string{"https://outlook.office.com/SMTP.Send", "offline_access"}
	case o.Provider == providerMicrosoft:
		return []string{"https://outlook.office365.com/.default"}
	case o.Provider == providerGoogle && !person && way == "gmail":
		return []string{"https://www.googleapis.com/auth/gmail.send"}
	case o.Provider == providerGoogle && !person:
		return []string{"https://mail.google.com/"}
	}
	return nil // a refresh token has its own
}

// source makes what gets the tokens, for the mailbox user. way is smtp, graph or
// gmail; name is whose options they are, for messages.
func (o *OAuth2) source(on *outside, name, way, user string) (*oauth.Source, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if on == nil {
		return new(oauth.Source), nil // never asked
	}
	c := oauth.Config{Subject: user, Scopes: o.scopes(way), Keeper: on.keeper}
	var err error
	if o.ServiceAccount == "" || o.TokenURL != "" {
		if c.TokenURL, err = o.endpoint(); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, written := range []struct {
		name, value string
		to          func(string)
	}{
		{"client_id", o.ClientID, func(v string) { c.ClientID = v }},
		{"client_secret", o.ClientSecret, func(v string) { c.ClientSecret = outbox.Credential(v) }},
		{"refresh_token", o.RefreshToken, func(v string) { c.RefreshToken = outbox.Credential(v) }},
		{"service_account", o.ServiceAccount, func(v string) { c.ServiceAccount = outbox.Credential(v) }},
	} {
		expand := option.ExpandSecret
		if written.name == "service_account" { // may be the key itself, of many lines
			expand = option.ExpandText
		}
		value, err := expand(name+": "+written.name, written.value)
		if err != nil {
			return nil, err
		}
		written.to(strings.TrimSpace(value))
	}
	if account := string(c.ServiceAccount); account != "" && !strings.HasPrefix(account, "{") {
		text, err := files.Read(account, 1<<20)
		if err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = fmt.Errorf("%s is empty", account)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: service_account: %w; it is the path of the JSON key that Google gave", name, err)
		}
		c.ServiceAccount = outbox.Credential(text)
	}
	source, err := oauth.New(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return source, nil
}
