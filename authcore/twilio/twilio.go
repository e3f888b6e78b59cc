// Package twilio sends text messages through Twilio's HTTP API.
//
// It is one call, so it is made with net/http: POST of a form to
// /2010-04-01/Accounts/{account}/Messages.json with basic authentication. Of an
// error only Twilio's number is reported: its text may repeat the recipient.
//
// It keeps nothing.
package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/outgoing"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// DefaultBaseURL is where the API stands.
const DefaultBaseURL = "https://api.twilio.com"

// Config says which account to send with.
type Config struct {
	Account   string // the account's SID, AC and 32 hexadecimal digits
	AuthToken outbox.Credential
	From      string        // a number in E.164, a sender's name, or a messaging service, MG…
	BaseURL   string        // empty: DefaultBaseURL
	Timeout   time.Duration // zero: 20 s
}

// Sender sends with one account. It is safe for concurrent use.
type Sender struct {
	account, token string
	from           url.Values
	endpoint       string
	client         *http.Client
}

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	senderName = regexp.MustCompile(`^[A-Za-z0-9 ]{1,11}$`) // Twilio: at most 11, letters, digits, spaces
)

// New checks c. It makes no request.
func New(c Config) (*Sender, error) {
	if !accountSID.MatchString(c.Account) {
		return nil, fmt.Errorf("sms twilio: %q is not an account SID; it is AC and 32 hexadecimal digits, from the Twilio console", c.Account)
	}
	if c.AuthToken == "" || strings.ContainsAny(string(c.AuthToken), " \t\r\n") {
		return nil, errors.New("sms twilio: auth_token is missing or holds white space; write for example auth_token {env.TWILIO_AUTH_TOKEN}")
	}
	from, err := fromField(c.From)
	if err != nil {
		return nil, err
	}
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	base, err := outgoing.ParseURL(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("sms twilio: base_url: %w", err)
	}
	if c.Timeout == 0 {
		c.Timeout = outgoing.Timeout
	}
	return &Sender{
		account: c.Account, token: string(c.AuthToken), from: from,
		endpoint: base.JoinPath("2010-04-01", "Accounts", c.Account, "Messages.json").String(),
		client:   outgoing.Client(c.Timeout),
	}, nil
}

// fromField tells the ways to name a sender apart.
func fromField(from string) (url.Values, error) {
	if serviceSID.MatchString(from) {
		return url.Values{"MessagingServiceSid": {from}}, nil
	}
	if _, err := address.ParsePhone(from); err != nil && (!senderName.MatchString(from) || strings.TrimSpace(from) == "") {
		return nil, fmt.Errorf("sms twilio: from %q is not a number like +15005550006, a messaging service (MG…) or a name of at most 11 letters and digits", from)
	}
	return url.Values{"From": {from}}, nil
}

// Name implements outbox.TextSender.
func (s *Sender) Name() string { return "twilio " + s.account[:8] }

// SendText hands t to Twilio. nil means Twilio answered that it has queued it.
func (s *Sender) SendText(ctx context.Context, t outbox.Text) error {
	form := url.Values{"To": {t.To.String()}, "Body": {t.Body}}
	for name, value := range s.from {
		form[name] = value
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(s.account, s.token)
	resp, err := outgoing.Do(s.client, r)
	if err != nil {
		return outgoing.NoAnswer(s.Name(), err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, outgoing.MaxAnswer)) // the status says enough
	return s.outcome(resp.StatusCode, data)
}

func (s *Sender) outcome(status int, data []byte) error {
	if status >= 200 && status < 300 {
		return nil
	}
	var answer struct {
		Code int `json:"code"`
	}
	known := json.Unmarshal(data, &answer) == nil && answer.Code != 0
	fault, what := outbox.HTTPFault(status)
	if known {
		what = fmt.Sprintf("%s, error %d", what, answer.Code)
		if senderCodes[answer.Code] {
			fault = outbox.SenderDown
		}
	}
	if fault == outbox.SenderDown && status >= 400 && status < 500 && status != http.StatusTooManyRequests {
		what += "; check the account, auth_token and from"
	}
	return &outbox.SendError{Fault: fault, Reason: what, Err: fmt.Errorf("status %d", status)}
}

// senderCodes are errors that would meet every message alike: they are about
// From or the account (Twilio's error dictionary).
var senderCodes = map[int]bool{
	20003: true, // authentication
	20005: true, // account not active
	21212: true, // From is not a number
	21603: true, // From is missing
	21606: true, // From is not the account's, or can't send texts
	21659: true, // From is not a Twilio number
	21660: true, // From does not belong to the account
	21703: true, // the messaging service has no senders
	63038: true, // the account's daily limit
}
