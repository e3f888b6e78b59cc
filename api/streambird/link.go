package streambird

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// Limits of a link's life in minutes, and what it is when nothing is said.
const (
	linkMin, linkMax, linkDefault = 5, 10080, 60

	linkSlot = "streambird-link"
)

// lifetime reads a number of minutes of a link.
func lifetime(o *api.Object, field string, def time.Duration) time.Duration {
	if !o.Has(field) {
		return def
	}
	return time.Duration(o.Int(field, linkDefault, linkMin, linkMax)) * time.Minute
}

// linkLifetime is that of the app's links where a call says nothing.
func linkLifetime(c *api.Call) time.Duration {
	if d := c.Caller.App.LinkLifetime; d > 0 {
		return d
	}
	return linkDefault * time.Minute
}

// redirectFor checks what the caller sent, and takes the app's default for
// nothing. An empty result means that there is none.
//
// Who may not choose is left with what is registered without a wildcard: at a
// host of an attacker's choice under https://*.example.app the link's token
// would be an attacker's.
func redirectFor(c *api.Call, use origin.RedirectUse, sent string) (string, error) {
	app := c.Caller.App
	if sent == "" {
		sent = app.Redirects.Default(use)
	} else if !c.May(api.Leads) && !app.Redirects.Fixed(use, sent) {
		return "", refuse(typeRedirect, "The "+string(use)+" redirect URL is not registered for this app, or with a wildcard only, which needs a secret key: add it to redirect "+string(use)+" in its block of the configuration.")
	}
	if sent != "" && !app.MayRedirect(use, sent) {
		return "", refuse(typeRedirect, "The "+string(use)+" redirect URL is not registered for this app: add it to redirect "+string(use)+" in its block of the configuration.")
	}
	return sent, nil
}

func errNoRedirect(use origin.RedirectUse) error {
	return refuse(typeRedirect, "No "+string(use)+" redirect URL was sent, and the app has no default for it: write redirect "+string(use)+" <url> in its block of the configuration.")
}

// leading completes terms with where the link leads.
func leading(t apps.Terms, use origin.RedirectUse, to string) apps.Terms {
	t.Letter, t.Redirect, t.Use = outbox.LetterLink, to, use
	t.Before = origin.WithQuery(to, "token", "")
	return t
}

// login mails a link to a user, who is made if need be. Which of the two
// redirects and lifetimes counts depends on that.
func (a *API) login(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	text, pending := o.Need("email"), o.Bool("requires_verification")
	hosted := o.Bool("auto_verify")
	known, fresh, err := a.loginTerms(c, o, hosted)
	if err != nil {
		return err
	}
	d, err := deviceOf(c, o)
	if err != nil {
		return err
	}
	address, err := email(text)
	if err != nil {
		return err
	}
	if err := a.needRedirect(c, address, known, fresh); err != nil {
		return err
	}
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: person.Whom{Email: address}, Create: creates(c), Draft: person.Draft{Pending: &pending},
		Known: known, New: &fresh, Slot: linkSlot, Deliver: true,
		Poll: c.May(api.Polls) || hosted && c.May(api.Pairs), Pair: hosted,
		Origin: c.LinksAt(), Client: d.client, EndUser: d.endUser, Agent: d.agent(), Language: c.Language(),
	})
	if err != nil {
		return err
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, linkAnswer(asked))
}

// loginTerms reads where links lead and how long they live, for users who are
// known and for new ones. Without a redirect of its kind Before is empty.
func (a *API) loginTerms(c *api.Call, o *api.Object, hosted bool) (known, fresh apps.Terms, err error) {
	def := linkLifetime(c)
	if o.Has("expires_in") && !o.Has("login_expires_in") && !o.Has("registration_expires_in") {
		def = lifetime(o, "expires_in", def)
	}
	most := time.Duration(linkMax) * time.Minute
	if c.Holder != api.Secret { // who may not choose asks for nothing longer
		most = linkLifetime(c)
	}
	known.Lifetime = min(lifetime(o, "login_expires_in", def), most)
	fresh.Lifetime = min(lifetime(o, "registration_expires_in", def), most)
	urls := map[origin.RedirectUse]string{
		origin.RedirectLogin: o.String("login_redirect_url"), origin.RedirectRegistration: o.String("registration_redirect_url"),
	}
	if err := o.Err(); err != nil {
		return known, fresh, err
	}
	if hosted && !c.Caller.App.AutoVerify {
		return known, fresh, refuse(typeRequest, "auto_verify is off for this app; write auto_verify on in its block of the configuration.")
	}
	if hosted {
		page := c.LinksAt().String() + root + "magic_links/hosted/" + c.Caller.App.ID
		known, fresh = leading(known, "", page), leading(fresh, "", page)
		known.Redirect, fresh.Redirect = "", "" // it leads nowhere else
		return known, fresh, nil
	}
	for use, terms := range map[origin.RedirectUse]*apps.Terms{origin.RedirectLogin: &known, origin.RedirectRegistration: &fresh} {
		to, err := redirectFor(c, use, urls[use])
		if err != nil {
			return known, fresh, err
		}
		if to != "" {
			*terms = leading(*terms, use, to)
		}
	}
	return known, fresh, nil
}

// needRedirect refuses before anything is made or sent when the redirect that
// will count is missing.
func (a *API) needRedirect(c *api.Call, address address.Address, known, fresh apps.Terms) error {
	if known.Before != "" && fresh.Before != "" {
		return nil
	}
	p, err := a.service.Apps().Person(c.R.Context(), c.Caller.Realm(), person.Whom{Email: address})
	switch {
	case err != nil:
		return err
	case p != nil && known.Before == "":
		return errNoRedirect(origin.RedirectLogin)
	case p == nil && !creates(c):
		return errNotMade
	case p == nil && fresh.Before == "":
		return errNoRedirect(origin.RedirectRegistration)
	}
	return nil
}

// linkMade is what is told about a link that was made.
type linkMade struct {
	UserID             string `json:"user_id"`
	Status             string `json:"status"`
	UserCreated        bool   `json:"user_created"`
	UpdatedAt          int64  `json:"updated_at"`
	CreatedAt          int64  `json:"created_at"`
	EmailID            string `json:"email_id"`
	RequestOriginToken string `json:"request_origin_token,omitempty"`
	VerificationDigits string `json:"verification_digits,omitempty"`
}

func linkAnswer(asked apps.Asked) linkMade {
	p := asked.Person
	return linkMade{
		userPrefix + p.Subject, status(&p), asked.Created, p.Updated.Unix(), p.Created.Unix(),
		emailPrefix + asked.Contact.ID, asked.PollToken, asked.Pair,
	}
}

// inviteLink mails an invitation.
func (a *API) inviteLink(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	text, sent := o.Need("email"), o.String("invite_redirect_url")
	terms := apps.Terms{Lifetime: lifetime(o, "invite_expires_in", linkLifetime(c))}
	names, pending := namesOf(o, person.Names{}), true
	d, err := deviceOf(c, o)
	if err != nil {
		return err
	}
	address, err := email(text)
	if err != nil {
		return err
	}
	to, err := redirectFor(c, origin.RedirectInvite, sent)
	if err != nil {
		return err
	}
	if to == "" {
		return errNoRedirect(origin.RedirectInvite)
	}
	terms = leading(terms, origin.RedirectInvite, to)
	terms.Letter = outbox.LetterInvite
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: person.Whom{Email: address}, Create: true, Draft: person.Draft{Names: &names, Pending: &pending},
		Known: terms, Slot: linkSlot, Deliver: true, Origin: c.LinksAt(), Client: d.client, EndUser: d.endUser, Agent: d.agent(), Language: c.Language(),
	})
	if err != nil {
		return err
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, linkAnswer(asked))
}

// createLink makes a token for a caller that delivers it itself.
func (a *API) createLink(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	id, text := o.String("user_id"), o.String("email")
	terms := apps.Terms{Lifetime: lifetime(o, "expires_in", linkLifetime(c))}
	d, err := deviceOf(c, o)
	if err != nil {
		return err
	}
	whom := person.Whom{Subject: cut(id, userPrefix)}
	switch {
	case id == "" && text == "":
		return refuse(typeRequest, "user_id or email is missing.")
	case id == "":
		address, err := email(text)
		if err != nil {
			return err
		}
		whom = person.Whom{Email: address}
	}
	asked, err := a.service.Apps().Ask(c.R.Context(), apps.Ask{
		Caller: c.Caller, Whom: whom, Attached: true, Known: terms, Slot: linkSlot, Poll: c.May(api.Polls),
		Origin: c.LinksAt(), Client: d.client, EndUser: d.endUser, Agent: d.agent(), Language: c.Language(),
	})
	if err != nil {
		return err
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{
		"user_id": userPrefix + asked.Person.Subject, "email_id": emailPrefix + asked.Contact.ID,
		"token": asked.Token, "request_origin_token": asked.PollToken,
	})
}
