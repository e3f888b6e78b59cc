package api

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// ShowsCode adds the page at pattern that shows a code of slot, for the mails that
// have a link in place of it (apps.Ask.Shows). Opening it changes nothing.
func (rt *Router) ShowsCode(pattern, slot string) {
	rt.On(http.MethodGet, pattern, func(c *Call) error { return c.showCode(slot, false) })
	rt.On(http.MethodPost, pattern, func(c *Call) error {
		if err := c.FromPage(); err != nil {
			return err
		}
		return c.showCode(slot, true)
	})
}

// ShowsAt is what the links to that page begin with.
func (c *Call) ShowsAt(pattern string) string { return c.LinksAt().String() + pattern + "?token=" }

func (c *Call) showCode(slot string, press bool) error {
	q, err := c.Query()
	if err != nil {
		return err
	}
	token := q.String("token")
	if err := q.Err(); err != nil {
		return err
	}
	shown, err := c.Service.Apps().Show(c.R.Context(), slot, token, press)
	if err != nil {
		return err
	}
	if shown.Verdict != event.Accepted {
		state := deadLinks[shown.Verdict]
		if state == "" || shown.Verdict == event.Locked {
			state = screen.AppUnknown
		}
		page := screen.AppPage{State: state}
		if shown.App != nil {
			page.App = shown.App.DisplayName()
		}
		return c.ShowPage(http.StatusGone, page)
	}
	page := screen.AppPage{State: screen.AppConfirm, App: shown.App.DisplayName(), Address: shown.Contact.Address().Display()}
	if press {
		page.State, page.Code = screen.AppCode, shown.Code
	}
	return c.ShowPage(http.StatusOK, page)
}
