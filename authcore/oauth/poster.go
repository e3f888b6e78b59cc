package oauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Mailbox is whose mailbox an API sends from.
type Mailbox struct {
	User    string  // its address
	Tokens  *Source // for the API
	BaseURL string  // empty: the API's own
}

// Name tells mailboxes apart where no address belongs, as in metrics: with the
// domain first.
func (b Mailbox) Name() string {
	local, domain, _ := strings.Cut(b.User, "@")
	return domain + "/" + local
}

var userName = regexp.MustCompile(`^[^\s/@]+@[^\s/@]+$`)

// Check says what is wrong with b but for the tokens. option is the line of the
// configuration, for messages.
func (b Mailbox) Check(option string) error {
	if !userName.MatchString(b.User) {
		return fmt.Errorf("%s: user %q is not a mailbox; write its address, for example user login@example.com", option, b.User)
	}
	if b.BaseURL != "" {
		if _, err := outgoing.ParseURL(b.BaseURL); err != nil {
			return fmt.Errorf("%s: base_url: %w", option, err)
		}
	}
	return nil
}

// Poster hands mails to an HTTP API that takes a Source's tokens. What embeds it
// has but Send to add to be an outbox.Sender. It is safe for concurrent use.
type Poster struct {
	name     string
	source   *Source
	client   *http.Client
	endpoint string

	mu        sync.Mutex
	notBefore time.Time // until when the API wants no request, and why
	why       *outbox.SendError
}

// Poster makes what posts to the path at the API. way is how the configuration
// calls it, as in "mail graph".
func (b Mailbox) Poster(way, apiURL string, path ...string) (*Poster, error) {
	option := "mail " + way
	if err := b.Check(option); err != nil {
		return nil, err
	}
	if b.Tokens == nil {
		return nil, fmt.Errorf("%s: there is nothing to get tokens with", option)
	}
	base, err := url.Parse(cmp.Or(b.BaseURL, apiURL))
	if err != nil {
		return nil, err
	}
	return &Poster{name: way + " " + b.Name(), source: b.Tokens, client: outgoing.Client(b.Tokens.config.Timeout), endpoint: base.JoinPath(path...).String()}, nil
}

// Name implements outbox.Sender.
func (p *Poster) Name() string { return p.name }

// Check has a token ready, and sends nothing. It fails while the API wants no request.
func (p *Poster) Check(ctx context.Context) error {
	if why := p.held(); why != nil {
		return why
	}
	_, err := p.source.Token(ctx)
	return err
}

func (p *Poster) held() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.source.now().Before(p.notBefore) {
		return p.why
	}
	return nil
}

// Post posts the JSON that stands for m, and returns the API's answer. An error
// means that the API did not take it. A token that is refused is replaced, once.
func (p *Poster) Post(ctx context.Context, m outbox.Message, value any) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if why := p.held(); why != nil {
		return nil, why
	}
	for again := false; ; again = true {
		token, err := p.source.Token(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := p.post(ctx, token, body)
		if err != nil {
			return nil, outgoing.NoAnswer("the API", err)
		}
		if resp.StatusCode == http.StatusUnauthorized && !again {
			p.source.Refused(token)
			continue
		}
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return resp.text, nil
		}
		return nil, p.failed(resp, m, token)
	}
}

// answered is an answer that was read whole.
type answered struct {
	*http.Response
	text []byte
}

func (p *Poster) post(ctx context.Context, token string, body []byte) (answered, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint, bytes.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := outgoing.Do(p.client, r)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, outgoing.MaxAnswer))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		err = nil // it took the mail; what else it says changes nothing
	}
	return answered{resp, text}, err
}

// failed words an answer other than 2xx.
func (p *Poster) failed(resp answered, m outbox.Message, token string) *outbox.SendError {
	fault, what := outbox.HTTPFault(resp.StatusCode)
	out := &outbox.SendError{Fault: fault, Reason: what}
	if said := apiError(resp.text); said != "" {
		out.Reason += ": " + m.Said(said, p.source.Secrets(token)...)
		out.Recipient = fault == outbox.Rejected && badRecipient.MatchString(said)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		out.Reason += "; the token was refused, a new one too: check the permissions of the application"
	case http.StatusForbidden:
		out.Reason += "; the application may not send for this user"
	case http.StatusNotFound:
		out.Reason += "; check user"
	}
	if wait := outgoing.RetryAfter(resp.Response, p.source.now()); wait > 0 && fault == outbox.SenderDown {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.notBefore, p.why = p.source.now().Add(wait), out
	}
	return out
}

// badRecipient is how Graph and Gmail say that an address can't be written to.
var badRecipient = regexp.MustCompile(`(?i)ErrorInvalidRecipients|invalid to header|recipient`)

// apiError is what Microsoft's and Google's APIs say in an error.
func apiError(text []byte) string {
	var data struct {
		Error struct {
			Code    any    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &data) != nil {
		return ""
	}
	word, _ := data.Error.Code.(string)
	if word == "" {
		word = data.Error.Status
	}
	return strings.TrimSpace(word + " " + data.Error.Message)
}
