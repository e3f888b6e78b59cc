package api

import (
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

// Clicked finds the link of a slot behind a token in the app's live data, else in its
// test data: who clicks has no key that would tell. Nothing is used up. The
// Caller is the one to Prove with.
func (c *Call) Clicked(app *authcore.App, slot, token string) (caller authcore.Caller, found authcore.Proved, err error) {
	for _, test := range []bool{false, true} {
		caller = authcore.Caller{App: app, Key: authcore.AppKey{Test: test}}
		found, err = c.Service.Look(c.R.Context(), caller, slot, token)
		if err != nil || found.Verdict != event.Unknown {
			break
		}
	}
	return caller, found, err
}
