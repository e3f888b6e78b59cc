package reflex

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// shown reads a key, or whether there is the token of a session: what that is
// worth, the call looks up.
func shown(c *api.Call, rights api.Rights) (api.Holder, error) {
	if rights.Session == 0 {
		return c.Authenticate(name, perKey)
	}
	if tokenOf(c) == "" {
		return api.Nobody, nil
	}
	return api.Session, nil
}

// tokenOf is the session token that a request brings, "" for none.
func tokenOf(c *api.Call) string {
	if token := c.Bearer(); token != "" {
		return token
	}
	return cookieOf(c)
}

// validate turns a one-time password into a session token. With a secret key
// the app may say how long the session lives.
func (a *API) validate(c *api.Call) error {
	caller, err := c.Whose(nil, "Authorization: Bearer <key>")
	if err != nil {
		return err
	}
	proof := apps.Proof{Caller: caller}
	in, err := c.JSON()
	if err != nil {
		return err
	}
	address, err := in.Email()
	if err != nil {
		return err
	}
	proof.Code = in.Need("otp")
	if proof.Client, proof.EndUser, err = endUser(c, in); err != nil {
		return err
	}
	life := a.options.SessionLifetime
	if in.Has("session_expiration_seconds") {
		var ok bool
		if life, ok = lifetime(in.Number("session_expiration_seconds", 0)); !ok {
			return api.Malformed("session_expiration_seconds", "a number of seconds above 0")
		}
		if !c.May(api.Extends) {
			return api.NeedsSecret("session_expiration_seconds")
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	if err := a.guesses(c); err != nil {
		return err
	}
	proved, err := a.prove(c, proof, address, life)
	if err != nil {
		return err
	}
	out := map[string]any{"valid": proved.Verdict == event.Accepted}
	if proved.Session != nil {
		out["session_token"] = proved.Session.Token
		out["persistent_id"] = persistentID(address)
		out["expiration"] = proved.Session.Expires.UTC()
	}
	return c.Answer(http.StatusOK, out)
}

func (a *API) prove(c *api.Call, proof apps.Proof, address address.Address, life time.Duration) (apps.Proved, error) {
	proof.Contact, proof.Slot, proof.Forget = address.String(), slot, true
	proof.Digits, proof.Hex = digits, true
	proof.Session = &apps.SessionTerms{Lifetime: life, Form: session.TokenHex, Note: name}
	proof.Origin, proof.Agent = c.Origin, c.R.UserAgent()
	return a.service.Apps().Prove(c.R.Context(), proof)
}

// endUser is who gives a password: whom the app's server names, or where it names
// nobody the server itself, of which all its users have the address. Any other call is
// its client's own.
func endUser(c *api.Call, in *api.Object) (client netip.Addr, own bool, err error) {
	text := in.String("client_ip")
	if text == "" || c.Holder != api.Secret {
		return c.Client, c.Holder != api.Secret, nil
	}
	if client, err = netip.ParseAddr(text); err != nil {
		err = api.Malformed("client_ip", "an IP address")
	}
	return client, true, err
}

// guesses bounds how often one client may give a password. A server's calls are
// bounded by its key.
func (a *API) guesses(c *api.Call) error {
	if c.Holder == api.Secret {
		return nil
	}
	return c.Spend(a.service.CountClient(name+" guess", c.Client))
}

// isOurs tells a session that was made here from those of other dialects.
func isOurs(s *apps.Session, v event.Verdict) bool {
	return v == event.Accepted && s.Note == name && !s.Address.IsZero()
}

type sessionAnswer struct {
	Valid        bool       `json:"session_is_valid"`
	Email        *string    `json:"email"`
	PersistentID *string    `json:"persistent_id"`
	Created      *time.Time `json:"created"`
	Expiration   *time.Time `json:"expiration"`
}

// session tells what a session token stands for. It is looked up on every call.
func (a *API) session(c *api.Call) error {
	if _, err := c.Beside(name, perKey); err != nil {
		return err
	}
	caller, err := c.Whose(nil, api.KeyHeader+", beside the session token")
	if err != nil {
		return err
	}
	s, v, err := a.service.Apps().Session(c.R.Context(), caller.Realm(), apps.SessionRef{Token: tokenOf(c)})
	if err != nil {
		return err
	}
	if !isOurs(s, v) {
		return c.Answer(http.StatusOK, sessionAnswer{})
	}
	email, id := s.Address.String(), persistentID(s.Address)
	created, expires := s.Started.UTC(), s.Expires.UTC()
	return c.Answer(http.StatusOK, sessionAnswer{true, &email, &id, &created, &expires})
}

// logout ends the session, of whatever app, and takes the cookie back. A cookie is sent by
// whatever page a browser is on, so with it the request must come from our own
// origin.
func (a *API) logout(c *api.Call) error {
	if c.Bearer() == "" && c.FromPage() != nil {
		return api.Refuse(http.StatusForbidden, api.CodeForbidden, "Sign-out by cookie must come from this site: send Origin, or the token as Authorization: Bearer.")
	}
	s, v, err := a.service.Apps().SessionOfAny(c.R.Context(), tokenOf(c))
	if err != nil {
		return err
	}
	if isOurs(s, v) {
		ref := apps.SessionRef{SID: s.ID}
		if _, err := a.service.Apps().EndSession(c.R.Context(), s.Person.Realm, ref, session.SignedOut); err != nil {
			return err
		}
	}
	setCookie(c, "", -1)
	c.W.Header().Set("Cache-Control", "no-store")
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// CookieName is what the cookie of a session is called, without its prefix.
const CookieName = "reflex_session"

// cookieName has the prefix that keeps other hosts from setting it, where a
// browser takes one.
func cookieName(c *api.Call) string {
	if c.Origin.Secure() {
		return "__Host-" + CookieName
	}
	return CookieName
}

func cookieOf(c *api.Call) string {
	found := c.R.CookiesNamed(cookieName(c))
	if len(found) != 1 { // of two nobody knows whose the request is
		return ""
	}
	return found[0].Value
}

func setCookie(c *api.Call, value string, maxAge int) {
	http.SetCookie(c.W, &http.Cookie{
		Name: cookieName(c), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: c.Origin.Secure(), SameSite: http.SameSiteLaxMode,
	})
}
