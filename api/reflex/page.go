package reflex

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// page is what a link opens: a button. It does not look at the password, or
// opening it would be a guess that nobody counts.
func (a *API) page(c *api.Call) error {
	in, err := c.Query()
	if err != nil {
		return failed(c, http.StatusBadRequest)
	}
	address, err := in.Email()
	if err != nil || in.Need("otp") == "" || in.Err() != nil {
		return failed(c, http.StatusBadRequest)
	}
	redir := in.String("redir")
	_, leads := a.leads(c, redir)
	return c.ShowPage(http.StatusOK, screen.AppPage{
		State: screen.AppLogin, Address: address.String(), Action: a.options.Route, Leads: leads,
		Fields: []screen.Field{{Name: "email", Value: address.String()}, {Name: "otp", Value: in.String("otp")}, {Name: "redir", Value: redir}},
	})
}

// confirm is the press of the button.
func (a *API) confirm(c *api.Call) error {
	if c.FromPage() != nil {
		return failed(c, http.StatusForbidden)
	}
	in, err := c.JSONOrForm()
	if err != nil {
		return failed(c, http.StatusBadRequest)
	}
	address, err := in.Email()
	if err != nil || in.Need("otp") == "" || in.Err() != nil {
		return failed(c, http.StatusBadRequest)
	}
	if a.guesses(c) != nil {
		return failed(c, http.StatusTooManyRequests)
	}
	proof := apps.Proof{Among: a.callers, Code: in.String("otp"), Client: c.Client, EndUser: true}
	proved, err := a.prove(c, proof, address, a.options.SessionLifetime)
	if err != nil {
		return err
	}
	if proved.Session == nil {
		return failed(c, http.StatusForbidden)
	}
	setCookie(c, proved.Session.Token, int(proved.Session.Expires.Sub(a.service.Now())/time.Second))
	redir := in.String("redir")
	if redir == "" {
		return c.ShowPage(http.StatusOK, screen.AppPage{State: screen.AppLoginDone})
	}
	if redir == proved.Redirect {
		return c.SeeOther(redir)
	}
	to, ok := destination(c, nil, redir)
	if !ok {
		to = "/" // whoever wrote it into the link, not the app, does not send people elsewhere
	}
	return c.SeeOther(to)
}

// leads is where the page's form may lead, of any app.
func (a *API) leads(c *api.Call, redir string) (string, bool) {
	for _, caller := range a.callers {
		if to, ok := destination(c, caller.App, redir); ok {
			return to, true
		}
	}
	return "", false
}

func failed(c *api.Call, status int) error {
	return c.ShowPage(status, screen.AppPage{State: screen.AppLoginFailed})
}
