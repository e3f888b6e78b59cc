package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/gmail"
	"github.com/gatehouse-auth/gatehouse/authcore/graph"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
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

// Graph is a mailbox at Microsoft 365, over Microsoft Graph.
type Graph struct {
	// User is the mailbox that mails are sent from.
	User   string  `json:"user,omitempty"`
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// BaseURL replaces the address of the API, for a national cloud.
	BaseURL string `json:"base_url,omitempty"`
}

// Gmail is a mailbox at Google Workspace, over Gmail's API.
type Gmail struct {
	// User is the mailbox that mails are sent from.
	User   string  `json:"user,omitempty"`
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	// BaseURL replaces the address of the API, for a test server.
	BaseURL string `json:"base_url,omitempty"`
}

const (
	providerMicrosoft = "microsoft"
	providerGoogle    = "google"
)

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
	for _, option := range []struct {
		name, value string
		to          func(string)
	}{
		{"client_id", o.ClientID, func(v string) { c.ClientID = v }},
		{"client_secret", o.ClientSecret, func(v string) { c.ClientSecret = oauth.Secret(v) }},
		{"refresh_token", o.RefreshToken, func(v string) { c.RefreshToken = oauth.Secret(v) }},
		{"service_account", o.ServiceAccount, func(v string) { c.ServiceAccount = oauth.Secret(v) }},
	} {
		expand := expandSecret
		if option.name == "service_account" { // may be the key itself, of many lines
			expand = expandText
		}
		value, err := expand(name+": "+option.name, option.value)
		if err != nil {
			return nil, err
		}
		option.to(strings.TrimSpace(value))
	}
	if account := string(c.ServiceAccount); account != "" && !strings.HasPrefix(account, "{") {
		text, err := os.ReadFile(account)
		if err != nil {
			return nil, fmt.Errorf("%s: service_account: %w; it is the path of the JSON key that Google gave", name, err)
		}
		c.ServiceAccount = oauth.Secret(text)
	}
	source, err := oauth.New(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return source, nil
}

func (g *Graph) sender(on *outside) (outbox.Sender, error) {
	if g.OAuth2 == nil || g.OAuth2.Provider != providerMicrosoft {
		return nil, errors.New("mail graph: it takes tokens of microsoft alone; write mail graph <tenant>")
	}
	box, err := g.OAuth2.mailbox(on, "graph", g.User, g.BaseURL)
	if err != nil || on == nil {
		return nil, err
	}
	return graph.New(box)
}

func (g *Gmail) sender(on *outside) (outbox.Sender, error) {
	if g.OAuth2 == nil || g.OAuth2.Provider != providerGoogle {
		return nil, errors.New("mail gmail: it takes tokens of google alone; write mail gmail with a service_account or a refresh_token")
	}
	box, err := g.OAuth2.mailbox(on, "gmail", g.User, g.BaseURL)
	if err != nil || on == nil {
		return nil, err
	}
	return gmail.New(box)
}

// mailbox makes what an API sends from.
func (o *OAuth2) mailbox(on *outside, way, user, baseURL string) (oauth.Mailbox, error) {
	box := oauth.Mailbox{User: user, BaseURL: baseURL}
	err := box.Check("mail " + way)
	if err == nil {
		box.Tokens, err = o.source(on, "mail "+way+" "+user, way, user)
	}
	return box, err
}

// outside is what stands outside of the configuration; nil while that is only
// looked at.
type outside struct {
	keeper oauth.Keeper
}

// expand puts in what placeholders stand for.
func (o *outside) expand(option, value string) (string, error) {
	if o == nil {
		return value, nil
	}
	return expandSecret(option, value)
}

// keeper is where senders keep replaced refresh tokens: the store, which is
// opened after they are made.
type keeper struct {
	core atomic.Pointer[authcore.Core]
}

var errNotOpen = errors.New("the store is not open yet")

// Keep implements oauth.Keeper.
func (k *keeper) Keep(ctx context.Context, name, value string) error {
	if core := k.core.Load(); core != nil {
		return core.Outbox().Keep(ctx, name, value)
	}
	return errNotOpen
}

// Kept implements oauth.Keeper.
func (k *keeper) Kept(ctx context.Context, name string) (string, error) {
	if core := k.core.Load(); core != nil {
		return core.Outbox().Kept(ctx, name)
	}
	return "", errNotOpen
}

// readOAuth2 reads oauth2 in mail smtp.
func readOAuth2(s *SMTP, d *caddyfile.Dispenser) error {
	const try = "oauth2 microsoft example.onmicrosoft.com {\n        client_id {env.MAIL_CLIENT_ID}\n        client_secret {file./run/secrets/mail-client}\n    }"
	if err := once("oauth2", s.OAuth2 != nil); err != nil {
		return err
	}
	args, err := arguments(d, 1, 2, try)
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
		return fmt.Errorf("oauth2 microsoft: the tenant is missing; write for example\n    %s", try)
	}
	s.OAuth2 = o
	return words[*OAuth2]{block: "oauth2", known: oauth2Words(func(o *OAuth2) *OAuth2 { return o })}.read(d, o)
}

// oauth2Words are the lines of oauth2, which mail graph and mail gmail have
// among their own.
func oauth2Words[T any](of func(T) *OAuth2) []word[T] {
	return []word[T]{
		{"client_id", func(t T, d *caddyfile.Dispenser) error {
			return oneOf(d, &of(t).ClientID, "client_id {env.MAIL_CLIENT_ID}")
		}},
		{"client_secret", func(t T, d *caddyfile.Dispenser) error {
			return oneOf(d, &of(t).ClientSecret, "client_secret {file./run/secrets/mail-client}")
		}},
		{"scope", func(t T, d *caddyfile.Dispenser) error {
			if err := once("scope", of(t).Scope != nil); err != nil {
				return err
			}
			args, err := arguments(d, 1, many, "scope https://graph.microsoft.com/.default")
			of(t).Scope = args
			return err
		}},
		{"refresh_token", func(t T, d *caddyfile.Dispenser) error {
			return oneOf(d, &of(t).RefreshToken, "refresh_token {file./run/secrets/mail-refresh}")
		}},
		{"service_account", func(t T, d *caddyfile.Dispenser) error {
			return oneOf(d, &of(t).ServiceAccount, "service_account /etc/gatehouse/google.json")
		}},
		{"token_url", func(t T, d *caddyfile.Dispenser) error {
			return oneOf(d, &of(t).TokenURL, "token_url https://login.microsoftonline.us/example.onmicrosoft.us/oauth2/v2.0/token")
		}},
	}
}

// UnmarshalCaddyfile reads "graph <tenant>" and its block.
func (g *Graph) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	args, err := arguments(d, 1, 1, "mail graph example.onmicrosoft.com")
	if err != nil {
		return err
	}
	g.OAuth2 = &OAuth2{Provider: providerMicrosoft, Tenant: args[0]}
	return readAll(d, g, words[*Graph]{
		block: "mail graph",
		known: append(oauth2Words(func(g *Graph) *OAuth2 { return g.OAuth2 }),
			word[*Graph]{"user", func(g *Graph, d *caddyfile.Dispenser) error {
				return oneOf(d, &g.User, "user login@example.com")
			}},
			word[*Graph]{"base_url", func(g *Graph, d *caddyfile.Dispenser) error {
				return oneOf(d, &g.BaseURL, "base_url https://graph.microsoft.us")
			}}),
	})
}

// UnmarshalCaddyfile reads "gmail" and its block.
func (g *Gmail) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if _, err := arguments(d, 0, 0, "mail gmail {\n        service_account /etc/gatehouse/google.json\n        user login@example.com\n    }"); err != nil {
		return err
	}
	g.OAuth2 = &OAuth2{Provider: providerGoogle}
	return readAll(d, g, words[*Gmail]{
		block: "mail gmail",
		known: append(oauth2Words(func(g *Gmail) *OAuth2 { return g.OAuth2 }),
			word[*Gmail]{"user", func(g *Gmail, d *caddyfile.Dispenser) error {
				return oneOf(d, &g.User, "user login@example.com")
			}},
			word[*Gmail]{"base_url", func(g *Gmail, d *caddyfile.Dispenser) error {
				return oneOf(d, &g.BaseURL, "base_url http://localhost:8025")
			}}),
	})
}

// CaddyModule returns the Caddy module information.
func (*Graph) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".graph", New: func() caddy.Module { return new(Graph) }}
}

// Validate finds out what is wrong without the machine.
func (g *Graph) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Graph) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{keep}) }

// CaddyModule returns the Caddy module information.
func (*Gmail) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: mailNamespace + ".gmail", New: func() caddy.Module { return new(Gmail) }}
}

// Validate finds out what is wrong without the machine.
func (g *Gmail) Validate() error { _, err := g.sender(nil); return err }

// NewSender implements MailModule.
func (g *Gmail) NewSender(keep oauth.Keeper) (outbox.Sender, error) { return g.sender(&outside{keep}) }
