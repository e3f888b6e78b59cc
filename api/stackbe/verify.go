package stackbe

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// verify turns a link's token into a session. A session's own token is answered
// with that session again, because some callbacks are handed one and verify
// whatever they get.
func (a *API) verify(c *api.Call) error {
	if c.Holder == api.Nobody {
		if !isForm(c.R) {
			return errNoKey
		}
		return a.press(c)
	}
	o, err := c.JSON()
	if err != nil {
		return err
	}
	return a.verifyToken(c, o)
}

// verifyToken answers with what the token in o leads to.
func (a *API) verifyToken(c *api.Call, o *api.Object) error {
	token := o.Need("token")
	if err := o.Err(); err != nil {
		return err
	}
	ctx := c.R.Context()
	if isJWT(token) {
		s, err := a.sessionOf(ctx, token, c.Caller.App.ID)
		if err == nil && s.Person.Realm != c.Caller.Realm() {
			err = errSessionInvalid
		}
		if err != nil {
			return asTokenError(err)
		}
		return a.answerVerified(c, s, token, "")
	}
	proved, err := a.use(c, c.Caller, token)
	if err != nil {
		return err
	}
	if proved.Verdict != event.Accepted {
		return tokenRefusal(proved.Verdict)
	}
	jwt, err := a.sign(ctx, c.LinksAt(), proved.Session)
	if err != nil {
		return err
	}
	return a.answerVerified(c, proved.Session, jwt, landing(proved))
}

// use consumes a link's token, and accepts the invitation that came with it.
func (a *API) use(c *api.Call, caller apps.Caller, token string) (apps.Proved, error) {
	lifetime := caller.App.SessionLifetime
	if lifetime <= 0 {
		lifetime = sessionLifetime
	}
	return a.service.Apps().Prove(c.R.Context(), apps.Proof{
		Caller: caller, Slot: slot, Token: token, Origin: c.Origin, Client: c.Client, Agent: c.R.UserAgent(),
		Session: &apps.SessionTerms{Lifetime: lifetime, Form: session.TokenAlnum},
	})
}

// landing is the callback of a link, without the session.
func landing(p apps.Proved) string {
	if p.Invite != "" && p.Redirect != "" {
		return origin.WithQuery(p.Redirect, "org_invite", invitePrefix+p.Invite)
	}
	return p.Redirect
}

var refusals = map[event.Verdict]*api.Refusal{
	event.Expired: api.Refuse(http.StatusUnauthorized, codeTokenExpired, "Token has expired"),
	event.Used:    api.Refuse(http.StatusUnauthorized, codeTokenUsed, "Token has already been used"),
}

var errNoKey = api.Refuse(http.StatusUnauthorized, codeUnauthorized, "No API key: send Authorization: Bearer <key>.")

var errTokenInvalid = api.Refuse(http.StatusUnauthorized, codeTokenInvalid, "Token is invalid")

func tokenRefusal(v event.Verdict) *api.Refusal {
	if r := refusals[v]; r != nil {
		return r
	}
	return errTokenInvalid
}

// asTokenError says in the words of verify what is wrong with a session's
// token.
func asTokenError(err error) error {
	switch {
	case errors.Is(err, errSessionExpired):
		return refusals[event.Expired]
	case errors.Is(err, errSessionInvalid):
		return errTokenInvalid
	}
	return err
}

// verified is the union of what the original's documentation and its clients'
// types say.
type verified struct {
	Success     bool   `json:"success"`
	RedirectURL string `json:"redirectUrl,omitempty"`
	sessionView
	SessionToken string `json:"sessionToken"`
}

func (a *API) answerVerified(c *api.Call, s *apps.Session, jwt, redirect string) error {
	view, err := a.view(c.R.Context(), s)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, verified{true, redirect, view, jwt})
}
