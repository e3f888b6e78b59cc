package api

import (
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

// Clicked finds the link of a slot behind a token in the app's live data, else in its
// test data: who clicks has no key that would tell. Nothing is used up. The
// Caller is the one to Prove with.
func (c *Call) Clicked(app *apps.App, slot, token string) (caller apps.Caller, found apps.Proved, err error) {
	for _, test := range []bool{false, true} {
		caller = apps.Caller{App: app, Key: apps.Key{Test: test}}
		found, err = c.Service.Apps().Look(c.R.Context(), caller, slot, token)
		if err != nil || found.Verdict != event.Unknown {
			break
		}
	}
	return caller, found, err
}
