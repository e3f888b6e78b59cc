package oidc

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Where the provider stands.
const (
	discoveryPath  = "/.well-known/openid-configuration"
	metadataPath   = "/.well-known/oauth-authorization-server"
	authorizePath  = "/oauth2/authorize"
	consentPath    = "/oauth2/consent"
	tokenPath      = "/oauth2/token"
	userInfoPath   = "/oauth2/userinfo"
	revokePath     = "/oauth2/revoke"
	introspectPath = "/oauth2/introspect"
	logoutPath     = "/oauth2/logout"
	jwksPath       = "/oauth2/jwks.json"
)

// route is what one path does.
type route struct {
	get, post func(*call)
	browser   bool // a person's browser comes there, with its session
	// open: pages of any origin may read the answer. shared: those of the client
	// may, which the call finds out.
	open, shared bool
}

var routes = map[string]route{
	discoveryPath:  {get: discovery, open: true},
	metadataPath:   {get: discovery, open: true},
	jwksPath:       {get: jwks, open: true},
	authorizePath:  {get: authorize, post: authorizePosted, browser: true},
	consentPath:    {post: consent, browser: true},
	tokenPath:      {post: token, shared: true},
	userInfoPath:   {get: userInfo, post: userInfo, shared: true},
	revokePath:     {post: revoke, shared: true},
	introspectPath: {post: introspect},
	logoutPath:     {get: logout, post: logoutPosted, browser: true},
}

// Config is what a provider is made of.
type Config struct {
	Service *authcore.Service
	Pages   *pages.Pages
	Log     *slog.Logger
	// Agent is what apps that are told of endings see as User-Agent.
	Agent string
}

// Handler serves the provider of one configuration. It is safe for concurrent
// use.
type Handler struct {
	service *authcore.Service
	grants  *grant.Grants
	pages   *pages.Pages
	log     *slog.Logger
	post    *http.Client
	agent   string
}

// Apps are the apps that admit a person and say where a sign-in there begins.
func (h *Handler) Apps(person address.Address, issuer origin.Origin) (all []pages.App) {
	for _, c := range h.grants.Clients() {
		if to, at := c.Begins(issuer); to != "" && c.Admits(person) {
			all = append(all, pages.App{Name: c.Name, At: at, URL: to})
		}
	}
	return all
}

// New makes the provider of a configuration, whose clients the grants know.
func New(c Config) *Handler {
	h := &Handler{service: c.Service, grants: c.Service.Core().Grants(), pages: c.Pages, log: c.Log, post: newPoster(), agent: c.Agent}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// Knows tells whether path is the provider's.
func Knows(path string) bool {
	_, ok := routes[path]
	return ok
}

// ForBrowsers tells whether people's browsers come to path, whose session counts.
func ForBrowsers(path string) bool { return routes[path].browser }

// IsSecret tells whether calls to path, or their answers, hold what no log may.
func IsSecret(path string) bool { return !routes[path].open }

// call is one request and its answer.
type call struct {
	h *Handler
	w http.ResponseWriter
	r *http.Request
	v pages.Visit

	issuer string
	form   params // of a POST
}

// Serve answers a request for a path that Knows. v has the visitor's session
// where the path is ForBrowsers.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, v pages.Visit) {
	v.Private = true // by id_token_hint, or what an app takes for a parameter
	c := &call{h: h, w: w, r: r, v: v, issuer: v.Origin.String()}
	to := routes[r.URL.Path]
	if to.open {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	if to.shared {
		w.Header().Add("Vary", "Origin")
	}
	switch {
	case r.Method == http.MethodOptions && (to.open || to.shared):
		c.preflight(to)
	case web.IsEarly(r):
		c.fail(http.StatusTooEarly, "invalid_request", "come back after the TLS handshake")
	case r.Method == http.MethodHead && to.browser && to.get != nil:
		web.NoStore(w.Header()) // asks, and neither gets a code nor signs out
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && to.get != nil:
		to.get(c)
	case r.Method == http.MethodPost && to.post != nil:
		if c.readForm(to.browser) {
			to.post(c)
		}
	default:
		w.Header().Set("Allow", to.allow())
		if to.browser {
			h.pages.Problem(w, r, v, pages.Problem{Kind: screen.BadMethod})
			return
		}
		c.fail(http.StatusMethodNotAllowed, "invalid_request", "this method is not for this path")
	}
}

func (to route) allow() string {
	var methods []string
	if to.get != nil {
		methods = append(methods, "GET", "HEAD")
	}
	if to.post != nil {
		methods = append(methods, "POST")
	}
	return strings.Join(methods, ", ")
}

// preflight lets pages of clients call what they may. Which client it will be
// the browser does not say yet.
func (c *call) preflight(to route) {
	h := c.w.Header()
	if !to.open {
		for _, client := range c.h.grants.Clients() {
			c.share(client)
		}
	}
	h.Set("Access-Control-Allow-Methods", to.allow())
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600")
	c.w.WriteHeader(http.StatusNoContent)
}

// share lets a page of the client's own origins read the answer.
func (c *call) share(client *grant.Client) {
	if o := c.r.Header["Origin"]; client != nil && len(o) == 1 && client.HasOrigin(o[0]) {
		c.w.Header().Set("Access-Control-Allow-Origin", o[0])
		c.w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
}

// readForm reads the body of a POST.
func (c *call) readForm(browser bool) bool {
	body, err := web.ReadBody(c.w, c.r, web.BodyTime)
	if err == nil {
		c.form, err = readForm(c.r.Header.Get("Content-Type"), body)
	}
	if err == nil {
		return true
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, web.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, web.ErrTooSlow):
		status = http.StatusRequestTimeout
	}
	if browser {
		c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.BadApp, Status: status, Detail: err.Error() + "."})
		return false
	}
	c.fail(status, "invalid_request", err.Error())
	return false
}

// problem is an error as apps get it (RFC 6749, 5.2).
type problem struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// fail answers an app with an error.
func (c *call) fail(status int, code, description string) {
	c.json(status, problem{code, description})
}

// failures bounds what one network may get wrong in a minute. Secrets and tokens
// can't be guessed; this is for the machine and its log.
var failures = limit.Rate{Count: 600, Per: time.Minute}

// refuse is fail for what a stranger may send in any number.
func (c *call) refuse(status int, code, description string) {
	if q := c.h.service.Core().CountFrom("oidc failures", c.v.Client, failures); q.Over {
		c.w.Header().Set("Retry-After", strconv.Itoa(screen.WholeSeconds(q.Reset.Sub(c.h.service.Now()))))
		c.fail(http.StatusTooManyRequests, "slow_down", "too many calls that failed come from this network; fix the client, and try again later")
		return
	}
	c.fail(status, code, description)
}

// unavailable answers an app when it can't be told. What happened goes to the log.
func (c *call) unavailable(err error) {
	c.h.log.Error("a call of an app can't be answered", "path", c.r.URL.Path, "error", err)
	c.w.Header().Set("Retry-After", "5")
	c.fail(http.StatusServiceUnavailable, "temporarily_unavailable", "the provider can't tell now; try again")
}

// outage answers a person when it can't be told.
func (c *call) outage(err error) {
	c.h.log.Error("a request to sign in to an app can't be answered", "path", c.r.URL.Path, "error", err)
	c.h.pages.Problem(c.w, c.r, c.v, pages.Problem{Kind: screen.Unavailable})
}

// json answers with value. Nobody keeps a copy of it.
func (c *call) json(status int, value any) {
	web.NoStore(c.w.Header())
	c.w.Header().Set("Pragma", "no-cache")
	if err := web.JSON(c.w, c.r, status, value); err != nil {
		c.h.log.Error("an answer can't be written as JSON", "error", err)
	}
}

// public answers with what is the same for everybody and changes seldom.
func (c *call) public(value any) {
	body, err := json.Marshal(value)
	if err != nil {
		c.unavailable(err)
		return
	}
	h := c.w.Header()
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}
