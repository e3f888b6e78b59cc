package hooks

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
)

// mailgunHook is what Mailgun posts, as far as it matters here.
type mailgunHook struct {
	Signature struct {
		Timestamp number `json:"timestamp"`
		Token     string `json:"token"`
		Signature string `json:"signature"`
		// Parent is made with the key of the account that a subaccount belongs to.
		Parent string `json:"parent-signature"`
	} `json:"signature"`
	Event struct {
		Event     string `json:"event"`
		Severity  string `json:"severity"` // of failed: permanent or temporary
		Reason    string `json:"reason"`
		Timestamp number `json:"timestamp"`
		Recipient string `json:"recipient"`
		Message   struct {
			Headers struct {
				MessageID string `json:"message-id"`
			} `json:"headers"`
		} `json:"message"`
		Status struct {
			Code        number `json:"code"`
			Enhanced    string `json:"enhanced-code"`
			Bounce      string `json:"bounce-type"`
			Message     string `json:"message"`
			Description string `json:"description"`
		} `json:"delivery-status"`
	} `json:"event-data"`
}

// number is one that Mailgun writes with and without quotes.
type number string

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = number(strings.Trim(string(text), `"`))
	return nil
}

// time reads seconds since 1970, with a fraction or without.
func (n number) time() (time.Time, bool) {
	seconds, err := strconv.ParseFloat(string(n), 64)
	if err != nil || !(math.Abs(seconds) < 1e11) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true
}

// tokenMost bounds a token, in bytes: Mailgun's have 50.
const tokenMost = 200

func (h *Hooks) mailgun(ctx context.Context, body []byte) (string, error) {
	var in mailgunHook
	if err := json.Unmarshal(body, &in); err != nil || in.Signature.Token == "" || len(in.Signature.Token) > tokenMost {
		return "", errUnlike
	}
	if s := in.Signature; !h.signed(s.Signature, s.Timestamp, s.Token) && !h.signed(s.Parent, s.Timestamp, s.Token) {
		return "", errForged
	}
	at, ok := in.Signature.Timestamp.time()
	if age := h.Now().Sub(at); !ok || age > fresh || age < -fresh {
		return "", errStale
	}
	report, ok := in.report()
	if !ok {
		return "of no interest", nil
	}
	return h.take(ctx, report)
}

// signed tells whether signature is Mailgun's: HMAC-SHA-256 of time and token. It
// covers no more, so that a token must count once.
func (h *Hooks) signed(signature string, at number, token string) bool {
	given, err := hex.DecodeString(signature)
	if err != nil || len(given) == 0 {
		return false
	}
	mac := hmac.New(sha256.New, []byte(h.MailgunKey))
	mac.Write([]byte(string(at) + token))
	return hmac.Equal(given, mac.Sum(nil))
}

// aboutUs are the reasons of a permanent failure that say nothing of the mailbox:
// Mailgun has tried for too long, or the recipient's server minds who sends.
var aboutUs = []string{"old", "espblock"}

// report puts what Mailgun says into a Report; ok is false for what needs none.
func (in *mailgunHook) report() (r delivery.Report, ok bool) {
	e := in.Event
	to, err := address.Parse(e.Recipient)
	if err != nil {
		return r, false
	}
	at, _ := e.Timestamp.time()
	r = delivery.Report{
		From: "mailgun", Token: in.Signature.Token, MessageID: strings.Trim(e.Message.Headers.MessageID, "<> "), Recipient: to, At: at,
		Detail: strings.TrimSpace(string(e.Status.Code) + " " + cmp.Or(e.Status.Message, e.Status.Description, e.Reason)),
	}
	switch {
	case e.Event == "delivered":
		r.Outcome, r.Detail = challenge.OutcomeDelivered, ""
	case e.Event == "complained":
		r.Outcome, r.Detail = challenge.OutcomeComplained, ""
	case e.Event == "failed" && e.Severity == "permanent":
		r.Outcome = challenge.OutcomeBounced
		r.Hard = !slices.Contains(aboutUs, e.Reason) && e.Status.Bounce != "soft" && !strings.HasPrefix(e.Status.Enhanced, "5.7.")
	case e.Event == "failed":
		r.Outcome = challenge.OutcomeDeferred
	default:
		return r, false
	}
	return r, true
}
