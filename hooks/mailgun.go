package hooks

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
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
	at, ok := in.Signature.Timestamp.seconds()
	if age := h.Now().Sub(at); !ok || age > fresh || age < -fresh {
		return "", errStale
	}
	report, ok := in.report()
	if !ok {
		return "of no interest", nil
	}
	return h.take(ctx, report)
}

// seconds reads whole seconds since 1970: ten digits, so that nobody moves what is
// signed as one string over the border between time and token.
func (n number) seconds() (time.Time, bool) {
	seconds, err := strconv.ParseUint(string(n), 10, 63)
	return time.Unix(int64(seconds), 0), err == nil && len(n) == 10
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

// suppressed begins the reasons for which Mailgun does not even try.
const suppressed = "suppress-"

// noMailbox are the status codes of RFC 3463 (and 7505: 5.1.10) that say that there
// is no such mailbox, or no way to it. What else a server refuses for, a full
// mailbox, a policy, the sender, is over tomorrow or says nothing of the mailbox.
var noMailbox = regexp.MustCompile(`\b5\.(1\.(0|1|2|3|4|6|10)|2\.(0|1)|4\.(1|4)|0\.0)\b`)

// status is a status code of RFC 3463.
var status = regexp.MustCompile(`\b5\.[0-9]{1,3}\.[0-9]{1,3}\b`)

// hard tells whether a permanent failure says that the mailbox is not there.
func (in *mailgunHook) hard() bool {
	reason, s := in.Event.Reason, in.Event.Status
	switch {
	case strings.HasPrefix(reason, suppressed):
		return true
	case slices.Contains(aboutUs, reason) || s.Bounce == "soft":
		return false
	}
	for _, text := range []string{s.Enhanced, s.Message, s.Description} {
		if said := status.FindString(text); said != "" {
			return noMailbox.MatchString(said)
		}
	}
	// RFC 5321: 552 is "exceeded storage allocation", 554 "transaction failed". From
	// 600 on it is Mailgun that speaks: 602 is "too old".
	return s.Bounce == "hard" || !slices.Contains([]string{"552", "554", "602"}, string(s.Code))
}

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
		r.Hard = in.hard()
	case e.Event == "failed":
		r.Outcome = challenge.OutcomeDeferred
	default:
		return r, false
	}
	return r, true
}
