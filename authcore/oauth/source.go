package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

const (
	// renewBefore is how long before its end a token is replaced; of a short one
	// half its life.
	renewBefore = 5 * time.Minute
	// unknownLife is how long a token is used whose end the provider keeps to
	// itself.
	unknownLife = 10 * time.Minute
)

// Source gives access tokens. It is safe for concurrent use: of those who need
// a new token one asks, the others wait for it.
type Source struct {
	config  *Config // a pointer, because fmt prints a Secret in a hidden field in clear
	account *serviceAccount
	name    string // under which a replaced refresh token is kept
	client  *http.Client
	// credentials asks for tokens, but for service accounts.
	credentials *clientcredentials.Config
	now         func() time.Time

	turn  chan struct{} // held by whoever reads or writes the state
	state *state        // a pointer for the same reason
}

// state is what a Source has learned.
type state struct {
	held      token
	refresh   string    // the newest refresh token, once known
	unkept    bool      // it is not in the store yet
	notBefore time.Time // until when the provider wants no request, and why
	why       *outbox.SendError
}

type token struct {
	value        string
	renew, until time.Time
}

// nameOf tells refresh tokens apart by the one that stands in the configuration,
// so that writing another one there makes the kept one nobody's.
func nameOf(c Config) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.TokenURL, c.ClientID, string(c.RefreshToken)}, "\n")))
	return hex.EncodeToString(sum[:16])
}

// Token returns a token that is good for now. An error is a *outbox.SendError
// with the fault SenderDown.
func (s *Source) Token(ctx context.Context) (string, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", outgoing.NoAnswer("OAuth", ctx.Err())
	}
	now := s.now()
	s.keep(ctx)
	if now.Before(s.state.held.renew) {
		return s.state.held.value, nil
	}
	fresh, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.state.held = fresh
	case now.Before(s.state.held.until): // the old one does while the provider is away
	default:
		return "", err
	}
	return s.state.held.value, nil
}

// Refused says that a token was not accepted: the next one is asked for anew,
// unless that has happened already.
func (s *Source) Refused(value string) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.state.held.value == value {
		s.state.held = token{}
	}
}

// Secrets are what must not show in what a server says: all that is secret in
// the configuration, and the token.
func (s *Source) Secrets(token string) []string { return append(s.config.secrets(), token) }

func (s *Source) fetch(ctx context.Context) (token, error) {
	if s.now().Before(s.state.notBefore) {
		return token{}, s.state.why
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.client)
	t, err := s.ask(ctx)
	if err != nil {
		return token{}, s.failed(err)
	}
	if !tokenSyntax.MatchString(t.AccessToken) {
		return token{}, &outbox.SendError{Fault: outbox.SenderDown, Reason: "OAuth: " + s.host() + " gave a token with characters that none can have"}
	}
	now := s.now()
	life := unknownLife
	if !t.Expiry.IsZero() {
		life = time.Until(t.Expiry)
	}
	return token{t.AccessToken, now.Add(life - min(renewBefore, life/2)), now.Add(life)}, nil
}

// tokenSyntax leaves out what could end a header or a field of XOAUTH2.
var tokenSyntax = regexp.MustCompile(`^[\x21-\x7e]+$`)

// ask makes one request for a token, or a second with the refresh token of the
// configuration when the kept one is dead.
func (s *Source) ask(ctx context.Context) (*oauth2.Token, error) {
	c := s.config
	switch {
	case s.account != nil:
		return (&jwt.Config{
			Email: s.account.Email, PrivateKey: []byte(s.account.PrivateKey), PrivateKeyID: s.account.KeyID,
			Subject: c.Subject, Scopes: c.Scopes, TokenURL: c.TokenURL,
		}).TokenSource(ctx).Token()
	case c.RefreshToken == "":
		return s.credentials.Token(ctx)
	}
	if s.state.refresh == "" {
		s.state.refresh = string(c.RefreshToken)
		if c.Keeper != nil {
			kept, err := c.Keeper.Kept(ctx, s.name)
			if err != nil {
				s.state.refresh = ""
				return nil, &outbox.SendError{Fault: outbox.SenderDown, Reason: "OAuth: the refresh token can't be read from the store", Err: err}
			}
			if kept != "" {
				s.state.refresh = kept
			}
		}
	}
	t, err := s.refreshWith(ctx, s.state.refresh)
	if own := string(c.RefreshToken); err != nil && codeOf(err) == "invalid_grant" && s.state.refresh != own {
		t, err = s.refreshWith(ctx, own)
	}
	return t, err
}

func (s *Source) refreshWith(ctx context.Context, refresh string) (*oauth2.Token, error) {
	s.credentials.EndpointParams = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	t, err := s.credentials.Token(ctx)
	if err != nil {
		return nil, err
	}
	if t.RefreshToken == "" {
		t.RefreshToken = refresh
	}
	if t.RefreshToken != s.state.refresh {
		s.state.refresh, s.state.unkept = t.RefreshToken, true
	}
	s.keep(ctx)
	return t, nil
}

// keep has a replaced refresh token kept: the one before it may be dead from now
// on. While the store can't be written it is in memory, and tried again with
// each mail.
func (s *Source) keep(ctx context.Context) {
	if !s.state.unkept || s.config.Keeper == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s.state.unkept = s.config.Keeper.Keep(ctx, s.name, s.state.refresh) != nil
}

func (s *Source) host() string {
	u, err := url.Parse(s.config.TokenURL)
	if err != nil {
		return "the provider"
	}
	return u.Host
}

// answer is what providers say when they give no token (RFC 6749 section 5.2).
type answer struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func answerOf(err error) (*oauth2.RetrieveError, answer) {
	var refused *oauth2.RetrieveError
	var said answer
	if errors.As(err, &refused) && json.Unmarshal(refused.Body, &said) != nil {
		said = answer{Code: refused.ErrorCode, Description: refused.ErrorDescription}
	}
	return refused, said
}

func codeOf(err error) string {
	_, said := answerOf(err)
	return said.Code
}

// failed words why there is no token.
func (s *Source) failed(err error) *outbox.SendError {
	if known := new(outbox.SendError); errors.As(err, &known) {
		return known
	}
	refused, said := answerOf(err)
	if refused == nil {
		if failed := new(url.Error); errors.As(err, &failed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return outgoing.NoAnswer("OAuth: "+s.host(), err)
		}
		return &outbox.SendError{Fault: outbox.SenderDown, Reason: "OAuth: " + s.host() + " gave no token that can be read", Err: err}
	}
	_, what := outbox.HTTPFault(refused.Response.StatusCode)
	words := strings.TrimSpace(said.Code + " " + said.Description)
	out := &outbox.SendError{Fault: outbox.SenderDown, Reason: "OAuth: " + s.host() + " " + what, Err: err}
	if words != "" {
		out.Reason += ": " + outbox.Message{}.Said(words, append(s.config.secrets(), s.state.refresh)...)
	}
	out.Reason += hint(said.Code)
	if wait := outgoing.RetryAfter(refused.Response, s.now()); wait > 0 {
		s.state.notBefore, s.state.why = s.now().Add(wait), out
	}
	return out
}

// hint says what to do about a refusal.
func hint(code string) string {
	switch code {
	case "invalid_grant":
		return "; consent was withdrawn, the refresh token has ended, or the user is not one that the service account may act for: give consent again and write the new refresh_token, or mend the delegation"
	case "invalid_client":
		return "; check client_id and client_secret, which may have expired"
	case "unauthorized_client":
		return "; the application may not ask in this way: grant it the permission at the provider"
	case "invalid_scope":
		return "; check scope"
	}
	return ""
}
