package streambird

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// Codes: their length, the limits of their life in minutes, and what it is when
// nothing is said.
const (
	codeDigits                    = 6
	codeMin, codeMax, codeDefault = 1, 10, 1

	// codeSlot is where a newer code takes the place of an older one.
	codeSlot = "streambird-otp"
	// codePage shows the code, once too many wrong ones were given for an address.
	codePage = root + "otps/code"
)

// The calls differ in whom they ask and whether they make who is not known.
func (a *API) codeLogin(c *api.Call) error { return a.code(c, "email", true) }
func (a *API) sendCode(c *api.Call) error  { return a.code(c, "email", false) }
func (a *API) textLogin(c *api.Call) error { return a.code(c, "phone_number", true) }
func (a *API) sendText(c *api.Call) error  { return a.code(c, "phone_number", false) }

func whomOf(field, text string) (w person.Whom, err error) {
	if field == "email" {
		w.Email, err = email(text)
	} else {
		w.Phone, err = phone(text)
	}
	return w, err
}

// code sends a one-time code to what stands in field.
func (a *API) code(c *api.Call, field string, create bool) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	text, pending := o.Need(field), o.Bool("requires_verification")
	minutes := o.Int("expires_in", codeDefault, codeMin, codeMax)
	d, err := deviceOf(c, o)
	if err != nil {
		return err
	}
	whom, err := whomOf(field, text)
	if err != nil {
		return err
	}
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: whom, Create: create && creates(c), Attached: c.Holder == api.Secret, Draft: person.Draft{Pending: &pending},
		Known: apps.Terms{Digits: codeDigits, Lifetime: time.Duration(minutes) * time.Minute, Letter: outbox.LetterCode},
		Slot:  codeSlot, Supersede: true, Deliver: true, Shows: c.ShowsAt(codePage),
		Origin: c.LinksAt(), Client: d.client, EndUser: d.endUser, Agent: d.agent(), Language: c.Language(),
	})
	if err != nil {
		return err
	}
	switch {
	case asked.Verdict == event.Unknown && create && !creates(c):
		return errNotMade
	case asked.Verdict == event.MailDown && field != "email" && !a.service.Apps().SendsTexts():
		return errNoTexts
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	id, kind := methodID(asked.Contact)
	out := map[string]any{"user_id": userPrefix + asked.Person.Subject, kind + "_id": id}
	if create {
		out["status"], out["user_created"] = status(&asked.Person), asked.Created
	}
	return c.Answer(http.StatusOK, out)
}

var errNoTexts = api.Refuse(http.StatusServiceUnavailable, api.CodeMailDown, "This server sends no text messages: write sms in the global block of its configuration.")

// verifyCode checks a code.
func (a *API) verifyCode(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	method, code := o.Need("method_id"), o.Need("otp")
	p, err := a.proof(c, o)
	if err != nil {
		return err
	}
	p.Code, p.Slot, p.Contact = code, codeSlot, contactID(method)
	return a.prove(c, o, p, codeRefusal)
}

func codeRefusal(v event.Verdict) error {
	switch v {
	case event.Expired:
		return refuse(typeCodeExpired, "The code has expired, or a newer one was sent.")
	case event.Used:
		return refuse(typeCode, "The code was used already.")
	case event.Mismatch:
		return errFingerprint
	case event.Locked, event.CodesOff:
		return api.Refuse(http.StatusTooManyRequests, typeTooMany, "Too many wrong codes. Ask for a new one.")
	}
	return refuse(typeCode, "The code is wrong.")
}

var errFingerprint = refuse(typeFingerprint, "The device is not the one that asked.")
