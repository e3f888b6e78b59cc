package stackbe

import (
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// open answers what the link of a mail opens, or an app's own verification URL
// redirects to. A program with the API key gets JSON.
func (a *API) open(c *api.Call) error {
	if c.Holder == api.Secret {
		q, err := c.Query()
		if err != nil {
			return err
		}
		return a.verifyToken(c, q)
	}
	v, err := a.visitor(c)
	if err != nil {
		return err
	}
	if v.stop {
		return v.askStop(c, http.StatusOK, screen.AppPage{})
	}
	if v.redirect && !c.IsRobot() {
		return a.finish(c, v)
	}
	if v.link.Verdict != event.Accepted || v.link.Gone {
		return v.problem(c)
	}
	return c.ShowPage(http.StatusOK, screen.AppPage{
		State: screen.AppConfirm, App: v.caller.App.DisplayName(), Address: v.link.Contact.Address().Display(), Leads: v.link.Redirect != "",
	})
}

// press answers the button of that page.
func (a *API) press(c *api.Call) error {
	v, err := a.visitor(c)
	if err != nil {
		return err
	}
	if err := c.FromPage(); err != nil {
		return err
	}
	if v.stop {
		return a.stopInvites(c, v)
	}
	return a.finish(c, v)
}

// askStop is the page behind "stop these mails". It asks for the address: who
// was only handed a mail on does not stop anybody's.
func (v visitor) askStop(c *api.Call, status int, page screen.AppPage) error {
	page.State, page.App = screen.AppStop, v.caller.App.DisplayName()
	return c.ShowPage(status, page)
}

func (a *API) stopInvites(c *api.Call, v visitor) error {
	o, err := c.JSONOrForm()
	if err != nil {
		return err
	}
	text := o.String("email")
	if err := o.Err(); err != nil {
		return err
	}
	verdict, wait := event.Unknown, time.Duration(0)
	if address, err := address.Parse(text); err == nil {
		if verdict, wait, err = a.service.Apps().StopInvites(c.R.Context(), v.caller.App, v.token, address); err != nil {
			return err
		}
	}
	switch verdict {
	case event.Limited:
		c.RetryAfter(wait)
		return v.askStop(c, http.StatusTooManyRequests, screen.AppPage{Wrong: screen.LimitedInput, Wait: wait})
	case event.Unknown:
		return v.askStop(c, http.StatusUnprocessableEntity, screen.AppPage{Wrong: screen.WrongInput})
	}
	return c.ShowPage(http.StatusOK, screen.AppPage{State: screen.AppStopped, App: v.caller.App.DisplayName()})
}

// visitor is who opened a link.
type visitor struct {
	caller   apps.Caller
	token    string
	redirect bool
	stop     bool        // the token is no link's: it stops invitations
	link     apps.Proved // as Look has it
}

func (a *API) visitor(c *api.Call) (v visitor, err error) {
	if err := countClient(c); err != nil {
		return v, err
	}
	app, err := a.app(c)
	if err != nil {
		return v, err
	}
	q, err := c.Query()
	if err != nil {
		return v, err
	}
	v.token, v.redirect = q.Need("token"), q.String("redirect") == "true"
	if err := q.Err(); err != nil {
		return v, err
	}
	if v.stop = apps.IsStopToken(v.token); v.stop {
		v.caller = apps.Caller{App: app}
		return v, nil
	}
	v.caller, v.link, err = c.Clicked(app, slot, v.token)
	return v, err
}

// finish uses the link and sends the browser to the callback: with the session
// token, or with what is wrong. A callback that is not allowed any more is not
// gone to, and the link stays as it is.
func (a *API) finish(c *api.Call, v visitor) error {
	if v.link.Gone {
		return v.problem(c)
	}
	proved, err := a.use(c, v.caller, v.token)
	if err != nil {
		return err
	}
	if proved.Verdict != event.Accepted {
		v.link = proved
		return v.failed(c)
	}
	if proved.Redirect == "" {
		return v.problem(c)
	}
	jwt, err := a.sign(c.R.Context(), c.LinksAt(), proved.Session)
	if err != nil {
		return err
	}
	return c.SeeOther(origin.WithQuery(landing(proved), "token", jwt))
}

// failed tells the callback what is wrong. A token that nobody knows has none:
// the app's default then.
func (v visitor) failed(c *api.Call) error {
	callback := v.link.Redirect
	if callback == "" && !v.link.Gone {
		callback = v.caller.App.Callbacks.Default()
	}
	if callback == "" {
		return v.problem(c)
	}
	message := tokenRefusal(v.link.Verdict).Message
	return c.SeeOther(origin.WithQuery(callback, "error", url.PathEscape(message)))
}

// problem is the page for who can't be sent on.
func (v visitor) problem(c *api.Call) error {
	return c.DeadLink(v.caller.App, v.link.Verdict, v.link.Gone)
}

// isForm tells the button's post from a program's.
func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}
