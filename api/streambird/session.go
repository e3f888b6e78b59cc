package streambird

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// jwtLifetime is how long a session's JWT can be checked without a call.
const jwtLifetime = 300 * time.Second

// kind is the session's JWT. No other RS256 token of ours has a session claim.
var kind = keyring.Kind{Alg: "RS256", Typ: "JWT", KeyPrefix: "jwk_"}

// claims has the session twice: the original's documentation shows the one, its
// clients read the other. There is no aud, which some libraries would want to
// be told: iss says whose session it is. One key signs for all apps, and whoever
// holds a test key makes sessions for any address without a mail.
type claims struct {
	Iss     string      `json:"iss"`
	Jti     string      `json:"jti"`
	Sub     string      `json:"sub"`
	Iat     int64       `json:"iat"`
	Nbf     int64       `json:"nbf"`
	Exp     int64       `json:"exp"`
	Session sessionView `json:"session"`
	URL     sessionView `json:"https://streambird.io/jwt/session"`
}

// sign makes the JWT of a session, which never outlives it.
func (a *API) sign(c *api.Call, s *apps.Session) (string, error) {
	now := a.service.Now()
	expires := now.Add(jwtLifetime)
	if s.Expires.Before(expires) {
		expires = s.Expires
	}
	view, issuer := viewOf(s), c.LinksAt().Host()+"/"+s.Person.Realm.App
	if s.Person.Realm.Test {
		issuer += "/test"
	}
	return a.service.Core().Keys().Sign(c.R.Context(), kind, claims{
		Iss: issuer, Jti: sessionPrefix + s.ID, Sub: userPrefix + s.Person.Subject,
		Iat: now.Unix(), Nbf: now.Unix(), Exp: expires.Unix(), Session: view, URL: view,
	})
}

// sessionView is a session on the wire. Its token never stands in a JWT.
type sessionView struct {
	ID           string      `json:"id"`
	UserID       string      `json:"user_id"`
	SessionToken string      `json:"session_token,omitempty"`
	StartedAt    int64       `json:"started_at"`
	ExpiresAt    int64       `json:"expires_at"`
	LastActiveAt int64       `json:"last_active_at"`
	Factors      []factor    `json:"factors"`
	Fingerprint  fingerprint `json:"device_fingerprint"`
	UpdatedAt    int64       `json:"updated_at"`
	CreatedAt    int64       `json:"created_at"`
}

type fingerprint struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
}

// factor is one proof. The original has no type for links and calls all "otp".
type factor struct {
	DeliveryChannel string `json:"delivery_channel"`
	Type            string `json:"type"`
	Method          method `json:"method"`
}

type method struct {
	MethodID       string `json:"method_id"`
	MethodType     string `json:"method_type"`
	LastVerifiedAt int64  `json:"last_verified_at"`
	EmailID        string `json:"email_id,omitempty"`
	Email          string `json:"email,omitempty"`
	PhoneNumberID  string `json:"phone_number_id,omitempty"`
	PhoneNumber    string `json:"phone_number,omitempty"`
}

func viewOf(s *apps.Session) sessionView {
	v := sessionView{
		ID: sessionPrefix + s.ID, UserID: userPrefix + s.Person.Subject, Factors: []factor{},
		StartedAt: s.Started.Unix(), CreatedAt: s.Started.Unix(), ExpiresAt: s.Expires.Unix(),
		LastActiveAt: s.LastActive.Unix(), UpdatedAt: s.Updated.Unix(),
	}
	if f := s.Fingerprint; f != nil {
		v.Fingerprint = fingerprint{f.IP, f.UserAgent}
	}
	for _, f := range s.Factors {
		if contact, ok := s.Person.Contact(f.Contact); ok { // else it was taken away meanwhile
			v.Factors = append(v.Factors, factorOf(f, contact))
		}
	}
	return v
}

func factorOf(f session.Factor, contact person.Contact) factor {
	m := method{LastVerifiedAt: f.At.Unix()}
	m.MethodID, m.MethodType = methodID(contact)
	if m.MethodType == "email" {
		m.EmailID, m.Email = m.MethodID, contact.Value
		return factor{"email", "otp", m}
	}
	m.PhoneNumberID, m.PhoneNumber = m.MethodID, contact.Value
	return factor{"sms", "otp", m}
}

// A session that was ended, is too old or never was is all the same to who asks.
var errSession = api.Refuse(http.StatusUnauthorized, typeSession, "The session is not valid: it was deleted, has expired, or never was.")

// sessionRef reads session_token or session_jwt. A JWT must be young enough:
// it is no key to the session for longer than it lives.
func (a *API) sessionRef(o *api.Object) (apps.SessionRef, error) {
	token, jwt := o.String("session_token"), o.String("session_jwt")
	if err := o.Err(); err != nil {
		return apps.SessionRef{}, err
	}
	switch {
	case token != "":
		return apps.SessionRef{Token: token}, nil
	case jwt == "":
		return apps.SessionRef{}, refuse(typeRequest, "session_token or session_jwt is missing.")
	}
	data, ok, err := a.service.Core().Keys().Verify(kind, jwt)
	if err != nil {
		return apps.SessionRef{}, err
	}
	var got claims
	if !ok || json.Unmarshal(data, &got) != nil || got.URL.ID == "" || got.URL.ID != got.Jti || a.service.Now().Unix() >= got.Exp {
		return apps.SessionRef{}, errSession
	}
	return apps.SessionRef{SID: cut(got.Jti, sessionPrefix)}, nil
}

// verifySession tells whether a session is live, notes its use, and moves its
// end if that is asked for.
func (a *API) verifySession(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	var extend time.Duration
	if terms := sessionTerms(o); terms != nil {
		extend = terms.Lifetime
	}
	if extend > 0 && !c.May(api.Extends) {
		return api.NeedsSecret("session_expires_in")
	}
	ref, err := a.sessionRef(o)
	if err != nil {
		return err
	}
	s, v, err := a.service.Apps().TouchSession(c.R.Context(), c.Caller.Realm(), ref, extend)
	if err != nil {
		return err
	}
	if v != event.Accepted {
		return errSession
	}
	out := map[string]any{"session_token": s.Token, "session": viewOf(s)}
	if ref.Token == "" {
		// A JWT is good for 300 s and gives no token that is good for longer.
		delete(out, "session_token")
		out["session_jwt"] = o.String("session_jwt")
	}
	if ref.Token != "" || c.May(api.Learns) {
		if out["session_jwt"], err = a.sign(c, s); err != nil {
			return err
		}
	}
	return c.Answer(http.StatusOK, out)
}

func (a *API) listSessions(c *api.Call) error {
	q, err := c.Query()
	if err != nil {
		return err
	}
	id := q.Need("user_id")
	if err := q.Err(); err != nil {
		return err
	}
	list, err := a.service.Apps().Sessions(c.R.Context(), c.Caller.Realm(), cut(id, userPrefix))
	if err != nil {
		return err
	}
	out := []sessionView{}
	for _, s := range list {
		v := viewOf(s)
		v.SessionToken = s.Token
		out = append(out, v)
	}
	return c.Answer(http.StatusOK, map[string]any{"sessions": out})
}

// deleteSession ends the session that one of three fields names.
func (a *API) deleteSession(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	named := 0
	for _, field := range []string{"session_token", "session_jwt", "session_id"} {
		if o.Has(field) {
			named++
		}
	}
	if named != 1 {
		return refuse(typeRequest, "Send exactly one of session_token, session_jwt and session_id.")
	}
	ref := apps.SessionRef{}
	if o.Has("session_id") {
		ref.SID = cut(o.String("session_id"), sessionPrefix)
		err = o.Err()
	} else {
		ref, err = a.sessionRef(o)
	}
	if err != nil {
		return err
	}
	return a.end(c, ref)
}

func (a *API) end(c *api.Call, ref apps.SessionRef) error {
	ended, err := a.service.Apps().EndSession(c.R.Context(), c.Caller.Realm(), ref, "deleted_by_app")
	if err != nil {
		return err
	}
	if !ended {
		return api.Refuse(http.StatusNotFound, typeNotFound, "Session not found.")
	}
	return c.Answer(http.StatusOK, map[string]any{"message": "Successfully deleted session"})
}

// jwks serves the keys of the JWTs to who shows any key, in the header or in
// the query.
func (a *API) jwks(c *api.Call) error {
	keys, err := a.service.Core().Keys().Public(c.R.Context(), kind)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, keys)
}

// appJWKS serves them to everybody, for an app by its id.
func (a *API) appJWKS(c *api.Call) error {
	if a.service.Apps().Configured().Find(strings.TrimPrefix(c.Param("app_id"), appPrefix)) == nil {
		return api.Refuse(http.StatusNotFound, typeNotFound, "App not found.")
	}
	return a.jwks(c)
}
