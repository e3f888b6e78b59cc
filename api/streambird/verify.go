package streambird

import (
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Limits of a session's life in minutes.
const sessionMin, sessionMax = 5, 525600

// sessionLifetime is that of a session that was asked for without saying how
// long: by waiting for a link.
const sessionLifetime = 7 * 24 * time.Hour

// sessionTerms reads session_expires_in; nil when it is not there.
func sessionTerms(o *api.Object) *apps.SessionTerms {
	if !o.Has("session_expires_in") {
		return nil
	}
	minutes := o.Int("session_expires_in", sessionMin, sessionMin, sessionMax)
	return &apps.SessionTerms{Lifetime: time.Duration(minutes) * time.Minute, Form: session.TokenAlnum}
}

// proof reads what links and codes are verified with alike. A session that is
// named must be live: it gains the proof instead of a new one being made.
func (a *API) proof(c *api.Call, o *api.Object) (apps.Proof, error) {
	p := apps.Proof{Caller: c.Caller, Session: sessionTerms(o), Origin: c.Origin}
	d, err := deviceOf(c, o)
	if err != nil {
		return p, err
	}
	p.Fingerprint, p.Client, p.EndUser, p.Agent = d.fingerprint, d.client, d.endUser, d.agent()
	if p.Match, err = matching(c.Caller.App, o); err != nil {
		return p, err
	}
	if !o.Has("session_token") && !o.Has("session_jwt") {
		return p, nil
	}
	ref, err := a.sessionRef(o)
	if err != nil {
		return p, err
	}
	s, v, err := a.service.Apps().Session(c.R.Context(), c.Caller.Realm(), ref)
	if err != nil {
		return p, err
	}
	if v != event.Accepted {
		return p, errSession
	}
	p.Extend = s.ID
	return p, nil
}

// verifyLink checks a link's token.
func (a *API) verifyLink(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	token := o.Need("token")
	p, err := a.proof(c, o)
	if err != nil {
		return err
	}
	p.Token, p.Slot = token, linkSlot
	return a.prove(c, o, p, linkRefusal)
}

func linkRefusal(v event.Verdict) error {
	switch v {
	case event.Expired:
		return refuse(typeLinkExpired, "Magic link expired.")
	case event.Mismatch:
		return errFingerprint
	case event.Used:
		return refuse(typeMagicToken, "Magic link was used already.")
	}
	return refuse(typeMagicToken, "Invalid magic link format, magic link missing or invalid.")
}

// provedView is what is told about a proof. Without a session the last three
// are absent.
type provedView struct {
	MethodID     string       `json:"method_id"`
	MethodType   string       `json:"method_type"`
	UserID       string       `json:"user_id"`
	SessionToken string       `json:"session_token,omitempty"`
	SessionJWT   string       `json:"session_jwt,omitempty"`
	Session      *sessionView `json:"session,omitempty"`
}

// prove tries the proof in, which o shows, and answers; refusal says why it is none.
// A JWT is good for 300 s, and gives no token of the session that it named.
func (a *API) prove(c *api.Call, o *api.Object, in apps.Proof, refusal func(event.Verdict) error) error {
	p, err := a.service.Apps().Prove(c.R.Context(), in)
	if err != nil {
		return err
	}
	if p.Verdict != event.Accepted {
		return refusal(p.Verdict)
	}
	out := provedView{UserID: userPrefix + p.Person.Subject}
	out.MethodID, out.MethodType = methodID(p.Contact)
	if p.Session != nil {
		jwt, err := a.sign(c, p.Session)
		if err != nil {
			return err
		}
		view := viewOf(p.Session)
		out.SessionToken, out.SessionJWT, out.Session = p.Session.Token, jwt, &view
		if p.Session.ID == in.Extend && o.String("session_token") == "" {
			out.SessionToken = ""
		}
	}
	return c.Answer(http.StatusOK, out)
}

// loginStatus answers who waits for a link: once it was used there is a
// session, one time.
func (a *API) loginStatus(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	id, token := o.Need("email_id"), o.Need("request_origin_token")
	if err := o.Err(); err != nil {
		return err
	}
	proved, err := a.service.Apps().Poll(c.R.Context(), apps.Poll{
		Caller: c.Caller, Contact: cut(id, emailPrefix), Token: token, Origin: c.Origin, Paired: !c.May(api.Polls),
		Session: apps.SessionTerms{Lifetime: lifetimeOf(c.Caller.App), Form: session.TokenAlnum},
	})
	if err != nil {
		return err
	}
	switch proved.Verdict {
	case event.Accepted:
	case event.NotYet:
		return refuse(typeNotVerified, "Magic link is not verified yet.")
	case event.Expired, event.Locked:
		return linkRefusal(event.Expired)
	default:
		return refuse(typeOriginToken, "Invalid request_origin_token, or it was used already.")
	}
	jwt, err := a.sign(c, proved.Session)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{
		"user_id": userPrefix + proved.Person.Subject, "status": status(&proved.Person),
		"session_token": proved.Session.Token, "session_jwt": jwt,
	})
}

func lifetimeOf(app *apps.App) time.Duration {
	if app.SessionLifetime > 0 {
		return app.SessionLifetime
	}
	return sessionLifetime
}
