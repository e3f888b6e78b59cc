package streambird

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// API is the dialect. It is safe for concurrent use.
type API struct {
	*api.Router
	service *authcore.Service
}

const name = "streambird"

// perKey bounds the calls with one secret key, and those of one client with a
// publishable key. The original has limits and does not say which.
var perKey = limit.Rate{Count: 1000, Per: time.Minute}

// Prefixes of ids on the wire.
const (
	userPrefix    = "user_"
	emailPrefix   = "email_"
	phonePrefix   = "pn_"
	sessionPrefix = "sess_"
	appPrefix     = "app_"
)

// New makes the dialect.
func New(c api.Config) *API {
	a := &API{service: c.Service}
	a.Router = &api.Router{Config: c, Fail: fail, Shown: a.shown, Roots: []string{root}}
	a.on(http.MethodPost, "magic_links/email/invite", a.inviteLink)
	a.on(http.MethodPost, "magic_links/create", a.createLink)
	a.on(http.MethodPost, "magic_links/verify", a.verifyLink)
	a.on(http.MethodPost, "otps/email/send", a.sendCode)
	a.on(http.MethodPost, "otps/sms/login_or_create", a.textLogin)
	a.on(http.MethodPost, "otps/sms/send", a.sendText)
	a.on(http.MethodPost, "otps/verify", a.verifyCode)
	a.ShowsCode(codePage, codeSlot)
	a.on(http.MethodPost, "sessions/verify", a.verifySession)
	a.on(http.MethodGet, "sessions/list", a.listSessions)
	a.on(http.MethodDelete, "sessions/delete", a.deleteSession)
	a.on(http.MethodPost, "users/create", a.createUser)
	a.on(http.MethodPost, "users/search", a.searchUsers)
	a.on(http.MethodGet, "users/{user_id}", a.getUser)
	a.on(http.MethodPut, "users/{user_id}/update", a.updateUser)
	a.on(http.MethodDelete, "users/{user_id}/delete", a.deleteUser)
	a.on(http.MethodDelete, "users/emails/{id}/delete", a.deleteEmail)
	a.on(http.MethodDelete, "users/phone_numbers/{id}/delete", a.deletePhone)
	a.browserRoutes()
	a.unsupportedRoutes()
	return a
}

const root = "/v1/auth/"

func (a *API) on(method, path string, route api.Route) { a.On(method, root+path, route) }

// browserRoutes adds what browsers may ask for.
func (a *API) browserRoutes() {
	a.public("magic_links/email/login_or_create", a.login)
	a.public("magic_links/email/login_status", a.loginStatus)
	a.public("otps/email/login_or_create", a.codeLogin)
	a.public("sdk/sessions/verify", a.verifySession)
	a.public("sdk/sessions/delete", a.deleteOwnSession)
	a.public("sdk/users/me", a.currentUser)
	a.public("sdk/users/update", a.updateCurrentUser)
	a.on(http.MethodGet, "jwks/default", a.jwks)
	a.on(http.MethodGet, "jwks/{app_id}", a.appJWKS)
	a.on(http.MethodGet, "magic_links/hosted/{app_id}", a.openHosted)
	a.on(http.MethodPost, "magic_links/hosted/{app_id}", a.pressHosted)
	a.On(http.MethodGet, "/streambird.js", a.script)
}

// unsupportedRoutes adds what the original has and this one has not, so that a
// client is told why.
func (a *API) unsupportedRoutes() {
	refuse := func(*api.Call) error {
		return api.Refuse(http.StatusNotImplemented, "not_supported", "This server signs people in by mail and text message. Wallets, OAuth, TOTP, passwords and WebAuthn are not supported.")
	}
	paths := map[string][]string{
		http.MethodPost: {
			"wallets/{call}", "wallets/registrations/{call}", "oauth/verify", "totps/{call}", "passwords/{call}", "oauth_connections/{call}",
		},
		http.MethodGet:    {"oauth/{provider}/begin", "oauth_connections/{call}"},
		http.MethodPut:    {"oauth_connections/{call}"},
		http.MethodDelete: {"oauth_connections/{call}", "users/wallets/{id}/delete", "users/webauthn_credentials/{id}/delete", "users/totps/{id}/delete"},
	}
	for method, list := range paths {
		for _, path := range list {
			a.on(method, path, refuse)
		}
	}
}

// Name implements api.Dialect.
func (*API) Name() string { return name }

// Types of refusals. Those that the original's clients know are the first
// five.
const (
	typeMagicToken   = "invalid_magic_token"
	typeLinkExpired  = "magic_link_expired"
	typeNotVerified  = "magic_link_not_verified"
	typeOriginToken  = "invalid_request_origin_token"
	typeUnauthorized = "unauthorized"
	typeForbidden    = "forbidden"
	typeRequest      = "invalid_request"
	typeEmail        = "invalid_email"
	typePhone        = "invalid_phone_number"
	typeRedirect     = "invalid_redirect_url"
	typeFingerprint  = "device_fingerprint_mismatch"
	typeCode         = "invalid_otp"
	typeCodeExpired  = "otp_expired"
	typeSession      = "invalid_session"
	typeNotFound     = "not_found"
	typeDuplicate    = "duplicate"
	typeLastOwner    = "last_owner"
	typeTooMany      = "too_many_requests"
	typeUnavailable  = "unavailable"
)

var types = map[string]string{
	api.CodeUnauthorized: typeUnauthorized,
	api.CodeForbidden:    typeForbidden,
	api.CodeMalformed:    typeRequest,
	api.CodeMissing:      typeRequest,
	api.CodeTooMany:      typeTooMany,
	api.CodeUnavailable:  typeUnavailable,
	api.CodeMailDown:     typeUnavailable,
	api.CodeMethod:       "method_not_allowed",
	api.CodeNotFound:     typeNotFound,
}

// problem is every refusal on the wire. Some clients read the status here and
// not from HTTP.
type problem struct {
	StatusCode   int    `json:"status_code"`
	ErrorType    string `json:"error_type"`
	ErrorMessage string `json:"error_message"`
}

func fail(c *api.Call, r *api.Refusal) error {
	kind, general := types[r.Code]
	if !general {
		kind = r.Code
	}
	return c.Answer(r.Status, problem{r.Status, kind, r.Message})
}

func refuse(kind, message string) *api.Refusal {
	return api.Refuse(http.StatusBadRequest, kind, message)
}

// cut takes the prefix off an id; text without it is no id of ours.
func cut(id, prefix string) string {
	rest, found := strings.CutPrefix(id, prefix)
	if !found {
		return "-"
	}
	return rest
}

// contactID takes the prefix off the id of an address or a number.
func contactID(id string) string {
	if strings.HasPrefix(id, phonePrefix) {
		return cut(id, phonePrefix)
	}
	return cut(id, emailPrefix)
}

// methodID is the id of a contact on the wire, and what kind of method it is.
func methodID(c person.Contact) (id, kind string) {
	if !strings.Contains(c.Value, "@") {
		return phonePrefix + c.ID, "phone_number"
	}
	return emailPrefix + c.ID, "email"
}

func email(text string) (address.Address, error) {
	return api.Email(text, typeEmail)
}

func phone(text string) (address.Phone, error) {
	number, err := address.ParsePhone(text)
	if err != nil {
		return number, refuse(typePhone, "phone_number: "+err.Error()+".")
	}
	return number, nil
}

// status is a user's on the wire.
func status(p *person.Person) string {
	if p.Pending {
		return "pending"
	}
	return "active"
}
