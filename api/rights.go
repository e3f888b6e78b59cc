package api

import (
	"net/http"
	"strings"
)

// Holder is what kind of key or token a call shows.
type Holder int

// The kinds. Who shows several counts as what the dialect reads first.
const (
	Nobody Holder = iota
	Secret
	Publishable
	Session // a person's own session token
)

// Right is a set of what a call may do for who makes it.
type Right uint8

// The rights. A publishable key is in every visitor's hands and a session token
// in one customer's: what they start for somebody else's address must never be
// finished for them, and they get nothing for longer than they were given.
const (
	May      Right = 1 << iota // make the call at all
	Starts                     // have a link or a code made or sent
	Leads                      // choose where the link leads, wildcards of the configuration included
	Polls                      // wait for a link, and get the session of whoever follows it
	Pairs                      // the same, for links with two digits that bind both ends
	Finishes                   // turn a link or a code into a proof
	Extends                    // say how long a session lives, and move its end
	Learns                     // be told a token of somebody that the call did not bring
)

// Rights are those of one call, by what is shown with it.
type Rights struct{ Secret, Publishable, Session, Nobody Right }

// open calls look at no key: all who make them count as Nobody.
func (r Rights) open() bool { return r.Secret|r.Publishable|r.Session == 0 }

func (r Rights) of(h Holder) Right {
	return [...]Right{Nobody: r.Nobody, Secret: r.Secret, Publishable: r.Publishable, Session: r.Session}[h]
}

// Shown finds out what a call shows: it reads, checks and counts the key or
// token, and sets Caller. Nobody is no error. Rights are those of the call.
type Shown func(*Call, Rights) (Holder, error)

// May tells whether the call has a right. Routes ask here and judge no key
// themselves.
func (c *Call) May(r Right) bool { return c.rights&r == r }

// admit asks who calls, and refuses who may not.
func (c *Call) admit(rights Rights, shown Shown) (err error) {
	c.Holder = Nobody
	if !rights.open() {
		if c.Holder, err = shown(c, rights); err != nil {
			return err
		}
	}
	if c.rights = rights.of(c.Holder); c.rights&May == 0 {
		return refusedHolder[c.Holder]
	}
	return nil
}

var refusedHolder = [...]*Refusal{
	Nobody:      errNoKey,
	Secret:      errSecretKind,
	Publishable: errWrongKind,
	Session:     errSessionKind,
}

// RightsOf returns the row of a call, by its method and the pattern of its
// path.
func RightsOf(method, pattern string) (Rights, bool) {
	row, ok := rights[method+" "+pattern]
	if !ok && method == http.MethodOptions {
		return Rights{Nobody: May}, true // what a browser asks before it sends a key
	}
	return row, ok
}

// Calls returns every call that has a row.
func Calls() []string {
	var all []string
	for call := range rights {
		all = append(all, call)
	}
	return all
}

var (
	secretOnly  = Rights{Secret: May}
	sessionOnly = Rights{Session: May}
	anybody     = Rights{Nobody: May}
	either      = Rights{Secret: May, Session: May}
	anyKey      = Rights{Secret: May, Publishable: May}
)

// rights is the table of every call of every dialect. docs/apis.md shows it.
var rights = map[string]Rights{
	"GET /api/lookup-email":        {Publishable: May},
	"POST /api/lookup-email":       {Publishable: May},
	"GET /lookup":                  {Publishable: May},
	"POST /lookup":                 {Publishable: May},
	"POST /api/start_verification": {Nobody: May | Starts}, // with the client_secret of a lookup
	"POST /start_verification":     {Nobody: May | Starts},
	"GET /api/code":                anybody, // for a mail that leads to the code
	"POST /api/code":               anybody,
	"POST /api/authenticate":       {Secret: May | Finishes, Publishable: May | Finishes, Nobody: May | Finishes},
	"POST /authenticate":           {Secret: May | Finishes, Publishable: May | Finishes, Nobody: May | Finishes},

	"POST /reflex/otp":          {Secret: May | Starts | Leads | Learns},
	"POST /reflex/validate":     {Secret: May | Finishes | Extends, Publishable: May | Finishes, Nobody: May | Finishes},
	"GET /reflex/session":       {Session: May, Nobody: May},
	"POST /reflex/logout":       {Session: May, Nobody: May},
	"GET /reflex/persistent-id": anybody,
	"GET /magic-link-auth":      anybody,
	"POST /magic-link-auth":     {Nobody: May | Finishes},

	"POST /auth/magic-link":                          {Secret: May | Starts | Leads},
	"POST /v1/apps/{appId}/auth/magic-link":          {Secret: May | Starts | Leads},
	"POST /v1/apps/{appId}/auth/verify":              {Secret: May | Finishes, Nobody: May | Finishes}, // without a key: the page's button
	"GET /v1/apps/{appId}/auth/verify":               {Secret: May | Finishes, Nobody: May | Finishes},
	"GET /v1/apps/{appId}/auth/session":              sessionOnly,
	"POST /v1/apps/{appId}/auth/switch-organization": sessionOnly,
	"GET /v1/customers":                              secretOnly,
	"POST /v1/customers":                             secretOnly,
	"GET /v1/customers/{id}":                         secretOnly,
	"PATCH /v1/customers/{id}":                       secretOnly,
	"GET /v1/entitlements":                           either,
	"GET /v1/entitlements/check/{feature}":           either,

	"POST /v1/apps/{appId}/organizations":                                   either,
	"GET /v1/apps/{appId}/organizations":                                    either,
	"GET /v1/apps/{appId}/organizations/{orgId}":                            either,
	"PATCH /v1/apps/{appId}/organizations/{orgId}":                          either,
	"GET /v1/apps/{appId}/organizations/{orgId}/members":                    either,
	"POST /v1/apps/{appId}/organizations/{orgId}/members":                   secretOnly,
	"PATCH /v1/apps/{appId}/organizations/{orgId}/members/{customerId}":     either,
	"DELETE /v1/apps/{appId}/organizations/{orgId}/members/{customerId}":    either,
	"POST /v1/apps/{appId}/organizations/{orgId}/invites":                   {Secret: May | Starts | Leads, Session: May | Starts},
	"GET /v1/apps/{appId}/organizations/{orgId}/invites":                    either,
	"DELETE /v1/apps/{appId}/organizations/{orgId}/invites/{inviteId}":      either,
	"POST /v1/apps/{appId}/organizations/{orgId}/invites/{inviteId}/resend": {Secret: May | Starts | Leads, Session: May | Starts},
	"POST /v1/apps/{appId}/organizations/invites/accept":                    sessionOnly,

	"GET /v1/subscriptions/current":        secretOnly, // from here on: 501
	"POST /v1/subscriptions/{id}/{action}": secretOnly,
	"GET /v1/tenants":                      secretOnly,
	"POST /v1/tenants":                     secretOnly,
	"GET /v1/apps":                         secretOnly,
	"POST /v1/apps":                        secretOnly,
	"POST /v1/apps/{appId}/api-keys":       secretOnly,

	"POST /v1/auth/magic_links/email/login_or_create": {Secret: May | Starts | Leads | Polls, Publishable: May | Starts | Pairs},
	"POST /v1/auth/magic_links/email/login_status":    {Secret: May | Polls | Pairs, Publishable: May | Pairs},
	"POST /v1/auth/magic_links/email/invite":          {Secret: May | Starts | Leads},
	"POST /v1/auth/magic_links/create":                {Secret: May | Starts | Polls | Learns},
	"POST /v1/auth/magic_links/verify":                {Secret: May | Finishes | Extends},
	"GET /v1/auth/magic_links/hosted/{app_id}":        anybody,
	"POST /v1/auth/magic_links/hosted/{app_id}":       {Nobody: May | Finishes},
	"POST /v1/auth/otps/email/login_or_create":        {Secret: May | Starts, Publishable: May | Starts},
	"POST /v1/auth/otps/email/send":                   {Secret: May | Starts},
	"POST /v1/auth/otps/sms/login_or_create":          {Secret: May | Starts},
	"POST /v1/auth/otps/sms/send":                     {Secret: May | Starts},
	"POST /v1/auth/otps/verify":                       {Secret: May | Finishes | Extends},
	"GET /v1/auth/otps/code":                          anybody,
	"POST /v1/auth/otps/code":                         anybody,
	"POST /v1/auth/sessions/verify":                   {Secret: May | Extends | Learns},
	"GET /v1/auth/sessions/list":                      {Secret: May | Learns},
	"DELETE /v1/auth/sessions/delete":                 secretOnly,
	"GET /v1/auth/jwks/default":                       anyKey,
	"GET /v1/auth/jwks/{app_id}":                      anybody,
	"POST /v1/auth/users/create":                      secretOnly,
	"POST /v1/auth/users/search":                      secretOnly,
	"GET /v1/auth/users/{user_id}":                    secretOnly,
	"PUT /v1/auth/users/{user_id}/update":             secretOnly,
	"DELETE /v1/auth/users/{user_id}/delete":          secretOnly,
	"DELETE /v1/auth/users/emails/{id}/delete":        secretOnly,
	"DELETE /v1/auth/users/phone_numbers/{id}/delete": secretOnly,
	"POST /v1/auth/sdk/sessions/verify":               {Secret: May | Extends | Learns, Publishable: May},
	"POST /v1/auth/sdk/sessions/delete":               anyKey,
	"POST /v1/auth/sdk/users/me":                      anyKey,
	"POST /v1/auth/sdk/users/update":                  anyKey,
	"GET /streambird.js":                              anybody,

	"POST /v1/auth/wallets/{call}":                           secretOnly, // from here on: 501
	"POST /v1/auth/wallets/registrations/{call}":             secretOnly,
	"POST /v1/auth/oauth/verify":                             secretOnly,
	"POST /v1/auth/totps/{call}":                             secretOnly,
	"POST /v1/auth/passwords/{call}":                         secretOnly,
	"POST /v1/auth/oauth_connections/{call}":                 secretOnly,
	"GET /v1/auth/oauth/{provider}/begin":                    secretOnly,
	"GET /v1/auth/oauth_connections/{call}":                  secretOnly,
	"PUT /v1/auth/oauth_connections/{call}":                  secretOnly,
	"DELETE /v1/auth/oauth_connections/{call}":               secretOnly,
	"DELETE /v1/auth/users/wallets/{id}/delete":              secretOnly,
	"DELETE /v1/auth/users/webauthn_credentials/{id}/delete": secretOnly,
	"DELETE /v1/auth/users/totps/{id}/delete":                secretOnly,
}

// String names the rights beyond that of making the call.
func (r Right) String() string {
	if r&May == 0 {
		return "–"
	}
	var words []string
	for i, word := range []string{"starts", "leads", "polls", "pairs", "finishes", "extends", "learns"} {
		if r&(Starts<<i) != 0 {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return "may"
	}
	return strings.Join(words, ", ")
}
