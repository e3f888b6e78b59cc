package link

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// start sends a code.
func (a *API) start(c *api.Call) error {
	in, err := c.JSONOrForm()
	if err != nil {
		return err
	}
	addr, secret, err := a.open(c, in)
	if err != nil {
		return err
	}
	who, err := a.find(c, addr)
	if err != nil {
		return err
	}
	if who == nil {
		return errGone
	}
	rule := a.service.CodeRule()
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: person.Whom{Email: addr}, PreferText: true,
		Create: who.gate, Draft: person.Draft{Name: &who.name}, // known from a gate: now also to the app
		Known: apps.Terms{Digits: 6, Lifetime: rule.Lifetime, Letter: outbox.LetterCode},
		Slot:  slot, Deliver: true, Repeat: resend, Handle: secret, Shows: c.ShowsAt(codePage),
		Origin: c.LinksAt(), Client: c.Client, Agent: c.R.UserAgent(), Language: c.Language(),
	})
	if err != nil {
		return err
	}
	switch asked.Verdict {
	case event.Accepted:
	case event.MailDown:
		return api.MailDown(asked.RetryAfter)
	case event.Unknown: // deleted meanwhile
		return errGone
	case event.Locked:
		return tooMany
	default:
		return limited(asked.RetryAfter)
	}
	text := asked.Contact.Value != addr.String()
	if text {
		if who.phone, err = address.ParsePhone(asked.Contact.Value); err != nil {
			return err
		}
	}
	return c.Answer(http.StatusOK, map[string]any{
		"result": "success", "smsSent": text, "emailSent": !text, "redacted_phone_number": redacted(who.phone),
	})
}

var errGone = api.Refuse(http.StatusNotFound, api.CodeMalformed, "This email is not known any more.")

// The refusals say what to do. Their first words are the original's.
var (
	tooMany  = api.Refuse(http.StatusTooManyRequests, api.CodeTooMany, "Too many attempts. Please try again in a few minutes: look the email up again, and ask for a code with the new client_secret.")
	codesOff = api.Refuse(http.StatusTooManyRequests, api.CodeTooMany, "Too many attempts. Please ask for another code: the mail leads to it.")
)

// limited says why no code is sent, and when one is.
func limited(wait time.Duration) error {
	message := "A code was sent a moment ago. Please wait before asking for another."
	if wait > resend[0].Per {
		message = "Too many codes were asked for with this email. Please use the last one, or try again in " + spoken(wait) + "."
	}
	return &api.Refusal{Status: http.StatusTooManyRequests, Message: message, RetryAfter: wait}
}

// spoken is a wait as people say it, rounded up.
func spoken(wait time.Duration) string {
	n, unit := (wait+time.Minute-1)/time.Minute, "minute"
	if n > 90 {
		n, unit = (wait+time.Hour-1)/time.Hour, "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.Itoa(int(n)) + " " + unit
}

// authenticate checks a code. A wrong one is an ordinary answer, with status
// 200, that callers read errorMessage from. A client_secret of another app, or of
// test data, is none: whoever holds such a key has the codes sent to themselves,
// and a backend takes what its page hands over.
func (a *API) authenticate(c *api.Call) error {
	caller, err := c.Whose(nil, "Authorization: Bearer <key>")
	if err != nil {
		return err
	}
	in, err := c.JSONOrForm()
	if err != nil {
		return err
	}
	address, secret, err := a.open(c, in)
	if err != nil {
		return err
	}
	if c.Caller.Realm() != caller.Realm() {
		return errOtherData
	}
	code, err := codeOf(in)
	if err != nil {
		return err
	}
	proved, err := a.service.Apps().Prove(c.R.Context(), apps.Proof{
		Caller: c.Caller, Handle: secret, Code: code,
		Origin: c.Origin, Client: c.Client, Agent: c.R.UserAgent(),
	})
	if err != nil {
		return err
	}
	if proved.Verdict == event.Accepted {
		return c.Answer(http.StatusOK, map[string]any{"authenticationSuccessful": true, "user": userOf(c.Caller.App, address, proved.Person)})
	}
	return refuse(c, proved.Verdict)
}

var errOtherData = api.Refuse(http.StatusUnauthorized, api.CodeUnauthorized, "This client_secret is of another app, or of test data: send a key of the same app and kind as Authorization: Bearer <key>.")

// codeOf reads the code under any of the names that callers use.
func codeOf(in *api.Object) (string, error) {
	for _, field := range []string{"code", "verification_code", "otp", "sixDigitCode"} {
		if in.Has(field) {
			code := in.Need(field)
			return code, in.Err()
		}
	}
	return "", api.Missing("code")
}

func refuse(c *api.Call, v event.Verdict) error {
	message := "The provided verification code is incorrect."
	switch v {
	case event.Locked:
		return tooMany
	case event.CodesOff:
		return codesOff
	case event.Expired:
		message = "The provided verification code has expired."
	case event.Used:
		message = "The provided verification code was used already."
	case event.Unknown:
		return api.Refuse(http.StatusBadRequest, api.CodeMalformed, "No verification was started with this client_secret.")
	case event.Malformed:
		message = "The provided verification code is not six digits."
	}
	return c.Answer(http.StatusOK, map[string]any{"authenticationSuccessful": false, "errorMessage": message})
}

// userOf is what the app learns: the address, and more only where the app's
// configuration approves it.
func userOf(app *apps.App, address address.Address, p person.Person) map[string]any {
	user := map[string]any{"email": address.String()}
	if !app.Profile {
		return user
	}
	name := p.Name
	if name == "" {
		name = strings.TrimSpace(p.Names.First + " " + p.Names.Last)
	}
	if name != "" {
		user["fullName"] = name
	}
	var metadata struct {
		City string `json:"city"`
	}
	if json.Unmarshal(p.Metadata, &metadata) == nil && metadata.City != "" {
		user["city"] = metadata.City
	}
	return user
}
