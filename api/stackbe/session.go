package stackbe

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// sessionLifetime is how long the cookie of the original's documentation lives.
const sessionLifetime = 7 * 24 * time.Hour

// touchEvery is how often the use of a session is written down.
const touchEvery = time.Minute

// kind keeps session tokens apart from everything else that is signed here.
var kind = keyring.Kind{Alg: "EdDSA", Typ: "stackbe-session+jwt"}

// claims are a session token's. Aud holds the realm: a token of test data, or
// of another app, is none here.
type claims struct {
	Iss   string            `json:"iss"`
	Aud   string            `json:"aud"`
	Sub   string            `json:"sub"`
	Email string            `json:"email"`
	Jti   string            `json:"jti"`
	Iat   int64             `json:"iat"`
	Exp   int64             `json:"exp"`
	Org   string            `json:"organizationId,omitempty"`
	Role  organization.Role `json:"orgRole,omitempty"`
}

const audience = "stackbe:"

func (a *API) sign(ctx context.Context, origin origin.Origin, s *apps.Session) (string, error) {
	c := claims{
		Iss: origin.String(), Aud: audience + s.Person.Realm.String(), Jti: s.ID,
		Sub: customerPrefix + s.Person.Subject, Email: s.Address.String(),
		Iat: a.service.Now().Unix(), Exp: s.Expires.Unix(),
	}
	if s.Org != "" {
		c.Org, c.Role = orgPrefix+s.Org, s.OrgRole
	}
	return a.service.Core().Keys().Sign(ctx, kind, c)
}

var (
	errNoSession      = api.Refuse(http.StatusUnauthorized, codeSessionInvalid, "No session token: send Authorization: Bearer <session token>.")
	errSessionInvalid = api.Refuse(http.StatusUnauthorized, codeSessionInvalid, "Session is invalid")
	errOtherData      = api.Refuse(http.StatusUnauthorized, codeSessionInvalid, "Session is invalid: it is of another app, or of test data, which count with a key of the same app and kind as "+api.KeyHeader+", beside the session token.")
	errSessionExpired = api.Refuse(http.StatusUnauthorized, codeSessionExpired, "Session has expired")
)

// sessionOf returns the live session behind a token that was made for the app
// with the id; empty: for any.
func (a *API) sessionOf(ctx context.Context, token, app string) (*apps.Session, error) {
	data, ok, err := a.service.Core().Keys().Verify(kind, token)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errSessionInvalid
	}
	var c claims
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, errSessionInvalid
	}
	var realm person.Realm
	text, found := strings.CutPrefix(c.Aud, audience)
	if !found || realm.UnmarshalText([]byte(text)) != nil || app != "" && realm.App != app || a.service.Apps().Configured().Find(realm.App) == nil {
		return nil, errSessionInvalid
	}
	if a.service.Now().Unix() >= c.Exp {
		return nil, errSessionExpired
	}
	ref := apps.SessionRef{SID: c.Jti}
	s, v, err := a.service.Apps().Session(ctx, realm, ref)
	if err == nil && v == event.Accepted && a.service.Now().Sub(s.LastActive) > touchEvery {
		s, v, err = a.service.Apps().TouchSession(ctx, realm, ref, 0)
	}
	switch {
	case err != nil:
		return nil, err
	case v == event.Expired:
		return nil, errSessionExpired
	case v != event.Accepted || s.Address.IsZero():
		return nil, errSessionInvalid
	}
	return s, nil
}

// session finds out whose session token the call carries, and counts the call
// for it. It must be one of the app that the path names, else of the key's that
// stands beside it or of the only app. One of test data counts with a test key
// alone: who calls takes plan, roles and names from it.
func (a *API) session(c *api.Call) (err error) {
	var app *apps.App
	if c.Param("appId") != "" {
		if app, err = a.app(c); err != nil {
			return err
		}
	}
	token := c.Bearer()
	if token == "" {
		return errNoSession
	}
	s, err := a.sessionOf(c.R.Context(), token, c.Param("appId"))
	if err != nil {
		return err
	}
	if err := c.Spend(c.Service.Core().CountOf(name+" session", s.SignIn, perSession)); err != nil {
		return err
	}
	if _, err := c.Beside(name, perKey); err != nil {
		return err
	}
	caller, err := c.Whose(app, api.KeyHeader+", beside the session token")
	if err != nil {
		return err
	}
	realm := s.Person.Realm
	if caller.Realm() != realm {
		return errOtherData
	}
	c.Session = s
	c.Caller = apps.Caller{App: caller.App, Key: apps.Key{Test: realm.Test}} // not with the rights of the key
	return nil
}

// sessionView is what is told about a session: nested as the original's
// documentation has it, and flat as its clients read it.
type sessionView struct {
	Valid        bool              `json:"valid"`
	Test         bool              `json:"test,omitempty"` // of test data: whoever holds a test key says what stands in it
	CustomerID   string            `json:"customerId"`
	Email        string            `json:"email"`
	ExpiresAt    string            `json:"expiresAt"`
	Org          string            `json:"organizationId,omitempty"`
	Role         organization.Role `json:"orgRole,omitempty"`
	Customer     customer          `json:"customer"`
	Entitlements struct {
		PlanName *string        `json:"planName"`
		Features map[string]any `json:"features"`
	} `json:"entitlements"`
}

func (a *API) view(ctx context.Context, s *apps.Session) (sessionView, error) {
	app := a.service.Apps().Configured().Find(s.Person.Realm.App)
	plan, err := a.planOf(ctx, app, &s.Person, s.Org)
	if err != nil {
		return sessionView{}, err
	}
	out := sessionView{
		Valid: true, Test: s.Person.Realm.Test, CustomerID: customerPrefix + s.Person.Subject, Email: s.Address.String(),
		ExpiresAt: timestamp(s.Expires), Customer: customerOf(&s.Person, s.Address),
	}
	if s.Org != "" {
		out.Org, out.Role = orgPrefix+s.Org, s.OrgRole
	}
	out.Entitlements.PlanName, out.Entitlements.Features = planName(plan), features(plan)
	return out, nil
}

func (a *API) getSession(c *api.Call) error {
	view, err := a.view(c.R.Context(), c.Session)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, view)
}

// switchOrganization makes a session that acts for an organization. The old one
// goes on as it is; they end together, and have one budget of calls.
func (a *API) switchOrganization(c *api.Call) error {
	old := c.Session
	if err := organizationsOn(c.Caller.App); err != nil {
		return err
	}
	o, err := c.JSON()
	if err != nil {
		return err
	}
	org := o.Need("organizationId")
	if err := o.Err(); err != nil {
		return err
	}
	s, v, err := a.service.Apps().SwitchOrg(c.R.Context(), old.Person.Realm, apps.SessionRef{SID: old.ID}, cut(org, orgPrefix))
	if err != nil {
		return err
	}
	if v != event.Accepted {
		return api.Refuse(http.StatusForbidden, codeUnauthorized, "The customer is not a member of this organization.")
	}
	jwt, err := a.sign(c.R.Context(), c.LinksAt(), s)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{
		"sessionToken": jwt, "organizationId": orgPrefix + s.Org, "orgRole": s.OrgRole, "expiresAt": timestamp(s.Expires),
	})
}

// cut takes the prefix off an id; text without it is no id of ours.
func cut(id, prefix string) string {
	rest, found := strings.CutPrefix(id, prefix)
	if !found {
		return "-"
	}
	return rest
}
