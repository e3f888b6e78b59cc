package stackbe

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

const (
	// linkLifetime is what the original documents.
	linkLifetime = 15 * time.Minute
	// slot keeps these links apart from those of other dialects.
	slot = "stackbe"
)

// sendLink mails a magic link.
func (a *API) sendLink(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	text, callback, dev := o.Need("email"), o.String("redirectUrl"), o.Bool("useDev")
	if err := o.Err(); err != nil {
		return err
	}
	address, err := email(text)
	if err != nil {
		return err
	}
	if callback, err = callbackFor(c, callback, dev); err != nil {
		return err
	}
	terms := linkTerms(c, callback)
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: person.Whom{Email: address}, Create: c.Caller.App.AutoCreate,
		Known: terms, Slot: slot, Deliver: true, Origin: c.LinksAt(), Client: c.Client, Language: c.Language(),
	})
	if err != nil {
		return err
	}
	if asked.Verdict == event.Unknown && !c.Caller.App.AutoCreate {
		return api.Refuse(http.StatusBadRequest, codeNoCustomer, "Customer not found, and auto_create is off in the app's block of the configuration")
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{"success": true, "message": "Magic link sent"})
}

// refuseAsk says why nothing was sent; nil when it was.
func refuseAsk(asked apps.Asked) error {
	switch asked.Verdict {
	case event.Accepted:
		return nil
	case event.Unknown:
		return api.Refuse(http.StatusBadRequest, codeNoCustomer, "Customer not found")
	case event.MailDown:
		return api.MailDown(asked.RetryAfter)
	}
	return api.Limited(asked.RetryAfter)
}

// callbackFor chooses where the link leads in the end: what the caller says
// comes before what is configured. Who may not choose is left with the default:
// a customer who names a host of their own under a pattern like
// https://*.vercel.app/* would get the session of whoever they write to.
func callbackFor(c *api.Call, callback string, dev bool) (string, error) {
	app := c.Caller.App
	choices := []string{app.Callbacks.Default(), app.DevCallback}
	if dev {
		choices = []string{app.DevCallback, app.Callbacks.Default()}
	}
	def := cmp.Or(choices...)
	if callback != "" && callback != def && !c.May(api.Leads) {
		return "", &api.Refusal{Status: http.StatusForbidden, Code: codeUnauthorized, Field: "redirectUrl",
			Message: "redirectUrl needs an API key; with a session token links lead to the app's default callback URL."}
	}
	callback = cmp.Or(callback, def)
	if callback == "" {
		return "", &api.Refusal{Status: http.StatusBadRequest, Code: codeMissing, Field: "redirectUrl",
			Message: "redirectUrl is missing, and the app has no default callback URL: write callback <url> in its block of the configuration."}
	}
	if !app.MayRedirect(origin.RedirectCallback, callback) {
		return "", &api.Refusal{Status: http.StatusBadRequest, Code: codeValidation, Field: "redirectUrl",
			Message: "redirectUrl does not match an allowed callback URL of the app: add it to callback in its block of the configuration."}
	}
	return callback, nil
}

// linkTerms say what the mail has. With a verification URL of the app's own the
// mail shows no other host.
func linkTerms(c *api.Call, callback string) apps.Terms {
	app := c.Caller.App
	t := apps.Terms{
		Lifetime: app.LinkLifetime, Letter: outbox.LetterLink,
		Redirect: callback, Use: origin.RedirectCallback,
	}
	if t.Lifetime <= 0 {
		t.Lifetime = linkLifetime
	}
	if app.VerificationURL == "" {
		t.Before = c.LinksAt().String() + "/v1/apps/" + app.ID + "/auth/verify?token="
		return t
	}
	t.Before = origin.WithQuery(app.VerificationURL, "token", "")
	t.After = "&appId=" + app.ID
	return t
}

// isJWT tells a session token from a link's token by its form.
func isJWT(token string) bool { return strings.Count(token, ".") == 2 }
