package streambird

import (
	_ "embed"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// public adds a call that a page may make.
func (a *API) public(path string, route api.Route) {
	a.on(http.MethodOptions, path, a.preflight)
	a.on(http.MethodPost, path, route)
}

// shown finds out whose key a call carries. Pages at the app's own origins may
// read the answers to what they may ask for.
func (a *API) shown(c *api.Call, rights api.Rights) (api.Holder, error) {
	if c.R.Method == http.MethodGet && rights.Publishable != 0 && c.R.Header.Get("Authorization") == "" {
		q, err := c.Query()
		if err != nil {
			return api.Nobody, err
		}
		key := q.String("api_key")
		if q.Err() != nil {
			return api.Nobody, q.Err()
		}
		if key != "" {
			return c.Identify(name, key, perKey)
		}
	}
	page := c.R.Method == http.MethodPost && rights.Publishable != 0
	var from origin.Origin
	if page {
		from = a.allowOrigin(c)
	}
	holder, err := c.Authenticate(name, perKey)
	if err == nil && page && holder == api.Publishable && c.R.Header.Get("Origin") != "" && !isOriginOf(c.Caller.App, from) {
		err = api.Refuse(http.StatusForbidden, typeForbidden, "This origin is not one of the app's: add it to origin in its block of the configuration.")
	}
	return holder, err
}

// allowOrigin lets the page at the request's origin read the answer, refusals
// too, if it is an origin of any app.
func (a *API) allowOrigin(c *api.Call) (from origin.Origin) {
	from, err := origin.Parse(c.R.Header.Get("Origin"))
	var app *apps.App
	all := a.service.Apps().Configured().All()
	if i := slices.IndexFunc(all, func(one *apps.App) bool { return isOriginOf(one, from) }); err == nil && i >= 0 {
		app = all[i]
	}
	c.AllowAppOrigin(app)
	return from
}

func isOriginOf(app *apps.App, from origin.Origin) bool {
	return slices.Contains(app.Origins, from)
}

// preflight answers what a browser asks before it sends a key. It shows no key
// yet: any app's origin will do, and the call itself is judged by its key.
func (a *API) preflight(c *api.Call) error {
	a.allowOrigin(c)
	h := c.W.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

//go:embed streambird.js
var script []byte

// script serves the client for pages.
func (a *API) script(c *api.Call) error {
	h := c.W.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = c.W.Write(script)
	return nil
}

// The calls of a page about its own session: whoever has the session's token
// may see and end it, and change the name.

func (a *API) deleteOwnSession(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	ref, err := a.sessionRef(o)
	if err != nil {
		return err
	}
	return a.end(c, ref)
}

// own finds the person whose session the page has.
func (a *API) own(c *api.Call) (*api.Object, *apps.Session, error) {
	o, err := c.JSON()
	if err != nil {
		return nil, nil, err
	}
	ref, err := a.sessionRef(o)
	if err != nil {
		return nil, nil, err
	}
	s, v, err := a.service.Apps().Session(c.R.Context(), c.Caller.Realm(), ref)
	if err == nil && v != event.Accepted {
		err = errSession
	}
	return o, s, err
}

func (a *API) currentUser(c *api.Call) error {
	_, s, err := a.own(c)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, userOf(&s.Person))
}

// updateCurrentUser changes names alone: an address that somebody attaches to
// themselves could be another's, who would then sign in to a stranger's
// account.
func (a *API) updateCurrentUser(c *api.Call) error {
	o, s, err := a.own(c)
	if err != nil {
		return err
	}
	if o.Has("emails") || o.Has("phone_numbers") {
		return api.NeedsSecret("Attaching emails and phone_numbers")
	}
	names := namesOf(o, s.Person.Names)
	if err := o.Err(); err != nil {
		return err
	}
	p, v, err := a.service.Apps().UpdatePerson(c.R.Context(), c.Caller.Realm(), person.Whom{Subject: s.Person.Subject}, person.Draft{Names: &names})
	if err != nil {
		return err
	}
	if err := refuseDraft(v); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, userOf(&p))
}

// hosted finds the link that a page of ours is about.
func (a *API) hosted(c *api.Call) (caller apps.Caller, token string, found apps.Proved, err error) {
	if err := c.CountFrom(name+" client", perKey); err != nil {
		return caller, "", found, err
	}
	app := a.service.Apps().Configured().Find(c.Param("app_id"))
	if app == nil {
		return caller, "", found, api.Refuse(http.StatusNotFound, typeNotFound, "App not found.")
	}
	q, err := c.Query()
	if err != nil {
		return caller, "", found, err
	}
	token = q.Need("token")
	if err := q.Err(); err != nil {
		return caller, "", found, err
	}
	caller, found, err = c.Clicked(app, linkSlot, token)
	if found.Verdict == event.Accepted && !found.Paired {
		found.Verdict = event.Unknown // a press here would sign in whoever waits
	}
	return caller, token, found, err
}

// openHosted shows the form that verifies. Opening the link does nothing,
// because mail scanners open links too. Whoever asked for the link gets the
// session: the digits shown there are asked for, so that nobody signs a stranger
// in with a click.
func (a *API) openHosted(c *api.Call) error {
	caller, _, found, err := a.hosted(c)
	if err != nil {
		return err
	}
	if found.Verdict != event.Accepted {
		return c.DeadLink(caller.App, found.Verdict, false)
	}
	return askPair(c, http.StatusOK, caller.App, found, "")
}

// askPair asks for the two digits.
func askPair(c *api.Call, status int, app *apps.App, found apps.Proved, wrong screen.AppError) error {
	return c.ShowPage(status, screen.AppPage{
		State: screen.AppPair, App: app.DisplayName(), Address: found.Contact.Address().Display(), Wrong: wrong, Tries: found.TriesLeft,
	})
}

// pairField is what the digits are called in the form.
const pairField = "digits"

func (a *API) pressHosted(c *api.Call) error {
	caller, token, found, err := a.hosted(c)
	if err != nil {
		return err
	}
	if err := c.FromPage(); err != nil {
		return err
	}
	if found.Verdict != event.Accepted {
		return c.DeadLink(caller.App, found.Verdict, false)
	}
	o, err := c.JSONOrForm()
	if err != nil {
		return err
	}
	digits := o.String(pairField)
	if err := o.Err(); err != nil {
		return err
	}
	proved, err := a.service.Apps().Prove(c.R.Context(), apps.Proof{
		Caller: caller, Slot: linkSlot, Token: token, Pair: digits, Match: caller.App.Fingerprint,
		Fingerprint: &session.Fingerprint{IP: ipText(c.Client), UserAgent: c.R.UserAgent()},
		Origin:      c.Origin, Client: c.Client, Agent: c.R.UserAgent(),
	})
	if err != nil {
		return err
	}
	switch proved.Verdict {
	case event.Accepted:
	case event.Malformed:
		return askPair(c, http.StatusUnprocessableEntity, caller.App, proved, screen.MalformedInput)
	case event.Wrong:
		return askPair(c, http.StatusUnprocessableEntity, caller.App, proved, screen.WrongInput)
	default:
		return c.DeadLink(caller.App, proved.Verdict, false)
	}
	return c.ShowPage(http.StatusOK, screen.AppPage{State: screen.AppDone, App: caller.App.DisplayName()})
}
