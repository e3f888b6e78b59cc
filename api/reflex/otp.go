package reflex

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// What the original's demo says for the refusals.
const (
	tooManyMessage = "Too many attempts. Please try again later."
	refusedMessage = "Invalid email, or too many attempts. Please try again later."
	captchaMessage = "Captcha verification failed. Please try again."
)

type otpAnswer struct {
	Record  *record `json:"record"`
	OTP     *string `json:"otp"`
	Link    string  `json:"magic_link,omitempty"`
	Message string  `json:"message,omitempty"`
}

// wish is what a call asks for.
type wish struct {
	redir    string
	lifetime time.Duration
	limit    int
	client   netip.Addr
	endUser  bool
	deliver  bool
}

// generate makes a one-time password and its link.
func (a *API) generate(c *api.Call) error {
	in, err := c.JSON()
	if err != nil {
		return err
	}
	w, err := a.wish(c, in)
	if err != nil {
		return err
	}
	if in.Has("captcha") && !in.Bool("captcha") {
		return api.Refuse(http.StatusForbidden, api.CodeForbidden, captchaMessage)
	}
	if err := in.Err(); err != nil {
		return err
	}
	address, err := address.Parse(in.String("email"))
	if err != nil {
		return c.Answer(http.StatusBadRequest, otpAnswer{Message: refusedMessage})
	}
	asked, err := a.service.Apps().Ask(c.R.Context(), a.ask(c, address, w))
	if err != nil {
		return err
	}
	return answerOTP(c, address, asked)
}

func answerOTP(c *api.Call, address address.Address, asked apps.Asked) error {
	out := otpAnswer{Record: recordOf(address, asked)}
	switch {
	case asked.Verdict == event.Accepted:
		out.OTP, out.Link = &asked.Code, asked.Link
		return c.Answer(http.StatusOK, out)
	case asked.Verdict == event.MailDown:
		return api.MailDown(asked.RetryAfter)
	case asked.Verdict == event.Limited && !asked.ByClient:
		out.Message = tooManyMessage
	default:
		out.Record, out.Message = nil, refusedMessage
	}
	c.RetryAfter(asked.RetryAfter)
	return c.Answer(http.StatusTooManyRequests, out)
}

func (a *API) ask(c *api.Call, address address.Address, w wish) apps.Ask {
	link := c.LinksAt().String() + a.options.Route + "?email=" + url.QueryEscape(address.String()) + "&otp="
	redirect := w.redir
	if strings.HasPrefix(redirect, "/") {
		redirect = ""
	}
	return apps.Ask{
		Caller: c.Caller, Whom: person.Whom{Email: address}, Create: true,
		Known: apps.Terms{
			Digits: digits, Hex: true, Lifetime: w.lifetime, Letter: outbox.LetterPlain,
			Before: link, After: "&redir=" + url.QueryEscape(w.redir), Redirect: redirect, Use: origin.RedirectCallback,
		},
		Slot: slot, Deliver: w.deliver, Window: &apps.Window{Count: w.limit, Per: w.lifetime},
		Origin: c.Origin, Client: w.client, EndUser: w.endUser, Language: c.Language(),
	}
}

// wish reads everything but the address.
func (a *API) wish(c *api.Call, in *api.Object) (wish, error) {
	w := wish{redir: in.String("redir"), lifetime: a.options.Lifetime, client: c.Client}
	if app := c.Caller.App; app != nil && app.LinkLifetime > 0 {
		w.lifetime = app.LinkLifetime
	}
	if w.redir == "" {
		w.redir = "/"
	}
	if _, ok := destination(c, c.Caller.App, w.redir); !ok {
		return w, api.Malformed("redir", "a path, or a URL that callback in the app's block of the configuration allows")
	}
	if in.Has("expiration_seconds") {
		var ok bool
		if w.lifetime, ok = lifetime(in.Number("expiration_seconds", 0)); !ok {
			return w, api.Malformed("expiration_seconds", "a number of seconds above 0")
		}
	}
	w.limit = int(min(in.Int("rate_limit", int64(a.options.RateLimit), 1, 1<<31), apps.MaxWindow))
	var err error
	if w.client, w.endUser, err = endUser(c, in); err != nil {
		return w, err
	}
	switch in.String("deliver") {
	case "", "return":
	case "email":
		w.deliver = true
	default:
		return w, api.Malformed("deliver", `"email" or "return"`)
	}
	return w, in.Err()
}

// destination is where redir leads, for a Location header: a path of this
// origin, or a URL that the app allows. ok is false for anything else.
func destination(c *api.Call, app *apps.App, redir string) (location string, ok bool) {
	if app != nil && !strings.HasPrefix(redir, "/") && app.MayRedirect(origin.RedirectCallback, redir) {
		return redir, true
	}
	to := origin.ParseReturnTo(redir, c.Origin, nil)
	return to.Location(c.Origin), redir == "/" || to.Path() != "/"
}
