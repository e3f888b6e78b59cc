package stackbe

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
)

// API is the dialect. It is safe for concurrent use.
type API struct {
	*api.Router
	service *authcore.Service
}

const name = "stackbe"

// The limits that the original documents.
var (
	perKey     = limit.Rate{Count: 1000, Per: time.Minute}
	perSession = limit.Rate{Count: 100, Per: time.Minute}
)

// Prefixes of ids on the wire.
const (
	customerPrefix = "cust_"
	orgPrefix      = "org_"
	invitePrefix   = "inv_"
)

// New makes the dialect.
func New(c api.Config) *API {
	a := &API{service: c.Service}
	a.Router = &api.Router{Config: c, Fail: fail, Shown: a.shown, Roots: []string{"/v1/apps/", "/v1/customers/", "/v1/entitlements/", "/v1/tenants/"},
		Missing: billing, Unsupported: errUnsupported}
	a.On(http.MethodPost, "/auth/magic-link", a.sendLink)
	a.On(http.MethodPost, "/v1/apps/{appId}/auth/magic-link", a.sendLink)
	a.On(http.MethodPost, "/v1/apps/{appId}/auth/verify", a.verify)
	a.On(http.MethodGet, "/v1/apps/{appId}/auth/verify", a.open)
	a.On(http.MethodGet, "/v1/apps/{appId}/auth/session", a.getSession)
	a.On(http.MethodPost, "/v1/apps/{appId}/auth/switch-organization", a.switchOrganization)
	a.On(http.MethodGet, "/v1/customers", a.findCustomer)
	a.On(http.MethodPost, "/v1/customers", a.createCustomer)
	a.On(http.MethodGet, "/v1/customers/{id}", a.getCustomer)
	a.On(http.MethodPatch, "/v1/customers/{id}", a.updateCustomer)
	a.On(http.MethodGet, "/v1/entitlements", a.entitlements)
	a.On(http.MethodGet, "/v1/entitlements/check/{feature}", a.checkEntitlement)
	a.organizationRoutes("/v1/apps/{appId}/organizations")
	a.On(http.MethodGet, "/v1/subscriptions/current", a.unsupported)
	a.On(http.MethodPost, "/v1/subscriptions/{id}/{action}", a.unsupported)
	a.On(http.MethodPost, "/v1/apps/{appId}/api-keys", a.unsupported)
	for _, path := range []string{"/v1/tenants", "/v1/apps"} {
		a.On(http.MethodGet, path, a.unsupported)
		a.On(http.MethodPost, path, a.unsupported)
	}
	return a
}

// Name implements api.Dialect.
func (*API) Name() string { return name }

// Codes of refusals, as the original's clients know them.
const (
	codeUnauthorized   = "UNAUTHORIZED"
	codeNotFound       = "NOT_FOUND"
	codeAppNotFound    = "APP_NOT_FOUND"
	codeNoCustomer     = "CUSTOMER_NOT_FOUND"
	codePlanNotFound   = "PLAN_NOT_FOUND"
	codeValidation     = "VALIDATION_ERROR"
	codeMissing        = "MISSING_REQUIRED_FIELD"
	codeEmail          = "INVALID_EMAIL"
	codeTokenExpired   = "TOKEN_EXPIRED"
	codeTokenUsed      = "TOKEN_ALREADY_USED"
	codeTokenInvalid   = "TOKEN_INVALID"
	codeSessionExpired = "SESSION_EXPIRED"
	codeSessionInvalid = "SESSION_INVALID"
	codeFeature        = "FEATURE_NOT_AVAILABLE"
	codeNoSubscription = "NO_ACTIVE_SUBSCRIPTION"
)

// codes translates those of package api; the others are the dialect's own.
var codes = map[string]string{
	api.CodeUnauthorized: codeUnauthorized,
	api.CodeForbidden:    codeUnauthorized,
	api.CodeMalformed:    codeValidation,
	api.CodeMissing:      codeMissing,
	api.CodeTooMany:      "",
	api.CodeUnavailable:  "",
	api.CodeMailDown:     "",
	api.CodeMethod:       "",
	api.CodeNotFound:     codeNotFound,
}

// problem is every refusal on the wire.
type problem struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Error      string `json:"error"`
	Code       string `json:"code,omitempty"`
}

// fail answers a refusal. The limits are told on these answers too: where no
// key or session was counted, it is the client.
func fail(c *api.Call, r *api.Refusal) error {
	if err := countClient(c); err != nil {
		errors.As(err, &r)
	}
	code, general := codes[r.Code]
	if !general {
		code = r.Code
	}
	return c.Answer(r.Status, problem{r.Status, r.Message, http.StatusText(r.Status), code})
}

// countClient counts a call that shows neither key nor session.
func countClient(c *api.Call) error {
	if c.W.Header().Get("X-RateLimit-Limit") != "" {
		return nil
	}
	return c.CountFrom(name+" client", perKey)
}

// shown finds out whose API key or session token the call carries. On paths of
// an app it must be one of that app's.
func (a *API) shown(c *api.Call, rights api.Rights) (api.Holder, error) {
	if isJWT(c.Bearer()) || rights.Secret == 0 {
		return api.Session, a.session(c)
	}
	holder, err := c.Authenticate(name, perKey)
	if id := c.Param("appId"); err == nil && holder != api.Nobody && id != "" && id != c.Caller.App.ID {
		if _, err := a.app(c); err != nil {
			return holder, err
		}
		return holder, api.Refuse(http.StatusForbidden, codeUnauthorized, "This API key belongs to another app.")
	}
	return holder, err
}

// app finds the app that the path names.
func (a *API) app(c *api.Call) (*apps.App, error) {
	app := a.service.Apps().Configured().Find(c.Param("appId"))
	if app == nil {
		return nil, api.Refuse(http.StatusNotFound, codeAppNotFound, "App not found")
	}
	return app, nil
}

// email reads an address from text that is there.
func email(text string) (address.Address, error) {
	address, err := address.Parse(text)
	if err != nil {
		return address, &api.Refusal{Status: http.StatusBadRequest, Code: codeEmail, Message: "Invalid email format", Field: "email"}
	}
	return address, nil
}

// timestamp is a time on the wire.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// unsupported answers the original's calls that this one does not have.
func (a *API) unsupported(*api.Call) error { return errUnsupported }

var errUnsupported = api.Refuse(http.StatusNotImplemented, "NOT_SUPPORTED", "Apps, keys and plans are kept in this server's configuration; subscriptions, payments and tenants are not supported.")

// billing are the paths of the original that have to do with money.
var billing = []string{
	"/v1/subscriptions", "/v1/plans", "/v1/products", "/v1/prices", "/v1/checkout", "/v1/portal", "/v1/invoices", "/v1/payments",
	"/v1/usage", "/v1/coupons", "/v1/webhooks", "/v1/billing",
}
