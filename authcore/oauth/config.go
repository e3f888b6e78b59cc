package oauth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Token endpoints of the providers that are known by name.
const (
	microsoftURL = "https://login.microsoftonline.com/%s/oauth2/v2.0/token"
	googleURL    = "https://oauth2.googleapis.com/token"
)

// MicrosoftURL is the token endpoint of a tenant: its domain or its id.
func MicrosoftURL(tenant string) (string, error) {
	if !tenantName.MatchString(tenant) {
		return "", fmt.Errorf("%q is not a tenant; write its id (Entra admin center, Overview) or a domain of it, for example example.onmicrosoft.com", tenant)
	}
	return fmt.Sprintf(microsoftURL, tenant), nil
}

// GoogleURL is Google's token endpoint.
func GoogleURL() string { return googleURL }

// CheckURL says what is wrong with the URL of a token endpoint.
func CheckURL(text string) error {
	if _, err := outgoing.ParseURL(text); err != nil {
		return fmt.Errorf("the token URL %q: %w", text, err)
	}
	return nil
}

var tenantName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,253}$`)

// Config says where tokens come from and for what. Exactly one way is given: a
// ServiceAccount, a RefreshToken, or a ClientSecret alone (client credentials).
type Config struct {
	TokenURL       string // https, or http on localhost
	ClientID       string
	ClientSecret   outbox.Credential
	RefreshToken   outbox.Credential
	ServiceAccount outbox.Credential // the JSON key file's content
	Subject        string            // whose mailbox a service account acts for
	Scopes         []string
	Keeper         Keeper        // nil: a replaced refresh token lasts as long as the process
	Timeout        time.Duration // zero: outgoing.Timeout
}

// Keeper keeps a refresh token that has replaced the configured one.
type Keeper interface {
	// Keep replaces what is kept under name.
	Keep(ctx context.Context, name, value string) error
	// Kept returns what is kept under name, empty for nothing.
	Kept(ctx context.Context, name string) (string, error)
}

// serviceAccount is what matters of Google's key file.
type serviceAccount struct {
	Type       string `json:"type"`
	Email      string `json:"client_email"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
	TokenURI   string `json:"token_uri"`
}

// New checks c. It makes no request.
func New(c Config) (*Source, error) {
	s := &Source{config: &c, turn: make(chan struct{}, 1), state: new(state), now: time.Now}
	if c.Timeout == 0 {
		c.Timeout = outgoing.Timeout
	}
	if c.ServiceAccount != "" {
		account, err := readServiceAccount(string(c.ServiceAccount))
		if err != nil {
			return nil, err
		}
		s.account = account
		if c.TokenURL == "" {
			c.TokenURL = account.TokenURI
		}
	}
	if err := CheckURL(c.TokenURL); err != nil {
		return nil, err
	}
	if s.account == nil && c.ClientID == "" {
		return nil, errors.New("client_id is missing; it is the application's id at the provider")
	}
	if s.account == nil && c.RefreshToken == "" && c.ClientSecret == "" {
		return nil, errors.New("there is neither client_secret nor refresh_token nor service_account")
	}
	s.name = nameOf(c)
	s.client = outgoing.Client(c.Timeout)
	s.credentials = &clientcredentials.Config{ClientID: c.ClientID, ClientSecret: string(c.ClientSecret), TokenURL: c.TokenURL, Scopes: c.Scopes}
	if s.known() {
		s.credentials.AuthStyle = oauth2.AuthStyleInParams
	}
	return s, nil
}

// known tells whether the provider is one that wants the credentials in the form;
// with others both ways are tried.
func (s *Source) known() bool {
	host := s.host()
	return host == "login.microsoftonline.com" || host == "oauth2.googleapis.com"
}

// readServiceAccount reads a key file. Its text is never shown.
func readServiceAccount(text string) (*serviceAccount, error) {
	a := new(serviceAccount)
	if err := json.Unmarshal([]byte(text), a); err != nil || a.Type != "service_account" || a.Email == "" || a.PrivateKey == "" {
		return nil, errors.New("service_account: this is not the JSON key of a service account (type, client_email, private_key); make one in the Google Cloud console, IAM & Admin, Service Accounts, Keys, Add key, JSON")
	}
	block, _ := pem.Decode([]byte(a.PrivateKey))
	if block == nil {
		return nil, errors.New("service_account: private_key in the key file is not PEM; take the file as Google made it")
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return nil, errors.New("service_account: private_key in the key file is damaged; make a new key")
		}
	}
	if a.TokenURI == "" {
		a.TokenURI = googleURL
	}
	return a, nil
}

// secrets are what no text may show, with the pieces that providers repeat.
func (c *Config) secrets() []string {
	var all []string
	for _, s := range []outbox.Credential{c.ClientSecret, c.RefreshToken} {
		if s != "" {
			all = append(all, string(s))
		}
	}
	return all
}
