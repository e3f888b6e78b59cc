package api

import (
	"encoding/json"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// Call is one request to a dialect.
type Call struct {
	Visit
	W       http.ResponseWriter
	R       *http.Request
	Service *authcore.Service
	Holder  Holder        // what the call shows
	Caller  apps.Caller   // whose it is, unless Holder is Nobody
	Session *apps.Session // with Holder Session, where the dialect reads it

	pages  *pages.Pages
	params map[string]string
	rights Right
	sent   *[]byte // the body, once it was read
}

// LinksAt is where links begin that the call has sent, and what its tokens name:
// only an app's server chooses among the hosts that a wildcard lets in. One of them
// may be a tenant's, who would read the tokens of links in genuine mails.
func (c *Call) LinksAt() origin.Origin {
	if c.Holder == Secret {
		return c.Origin
	}
	return c.Named
}

// Param returns the part of the path that stands for {name} in the route.
func (c *Call) Param(name string) string { return c.params[name] }

// JSON reads the body, which must be a JSON object. An empty body is an empty
// object.
func (c *Call) JSON() (*Object, error) {
	kind, err := c.mediaType()
	if err != nil {
		return nil, err
	}
	data, err := c.body()
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return &Object{}, nil
	}
	if kind != "application/json" {
		return nil, errMedia
	}
	return parseObject(data)
}

// JSONOrForm is JSON for routes that also take a form, where every field is
// text.
func (c *Call) JSONOrForm() (*Object, error) {
	kind, err := c.mediaType()
	if err != nil {
		return nil, err
	}
	if kind != "application/x-www-form-urlencoded" {
		return c.JSON()
	}
	data, err := c.body()
	if err != nil {
		return nil, err
	}
	return parseForm(string(data))
}

// Query reads the query of the URL, as a form.
func (c *Call) Query() (*Object, error) { return parseForm(c.R.URL.RawQuery) }

func parseForm(text string) (*Object, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, Refuse(http.StatusBadRequest, CodeMalformed, "The form or the query is not well encoded.")
	}
	o := &Object{fields: map[string]json.RawMessage{}}
	for name, list := range values {
		if len(list) > 1 {
			return nil, Refuse(http.StatusBadRequest, CodeMalformed, "A field stands twice in the form or the query.")
		}
		value, err := json.Marshal(list[0])
		if err != nil {
			return nil, err
		}
		o.fields[name] = value
	}
	return o, nil
}

func (c *Call) mediaType() (string, error) {
	if c.R.Header.Get("Content-Encoding") != "" || len(c.R.Header.Values("Content-Type")) > 1 {
		return "", errMedia
	}
	text := c.R.Header.Get("Content-Type")
	if text == "" {
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(text)
	if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return "", errMedia
	}
	return kind, nil
}

var bodyRefusal = map[error]*Refusal{web.ErrTooLarge: errLarge, web.ErrTooSlow: errSlow, web.ErrCut: errCut}

func (c *Call) body() ([]byte, error) {
	if c.sent != nil {
		return *c.sent, nil
	}
	data, err := web.ReadBody(c.W, c.R, web.BodyTime)
	if err != nil {
		return nil, bodyRefusal[err]
	}
	c.sent = &data
	return data, nil
}

// Answer writes v as JSON.
func (c *Call) Answer(status int, v any) error {
	web.NoStore(c.W.Header())
	return web.JSON(c.W, c.R, status, v)
}

// Authenticate finds out whose key the request carries, as Authorization:
// Bearer, and counts the call for it: with a publishable key for the client, too. Without that header it is Nobody. The
// error is a *Refusal.
func (c *Call) Authenticate(dialect string, rate limit.Rate) (Holder, error) {
	values := c.R.Header.Values("Authorization")
	if len(values) > 1 {
		return Nobody, errTwoKeys
	}
	if len(values) == 0 {
		return Nobody, nil
	}
	scheme, key, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Nobody, errNoKey
	}
	return c.Identify(dialect, strings.TrimSpace(key), rate)
}

// Identify is Authenticate for a key that came in another way. Unknown keys
// count for the client, so that trying keys is bounded too.
func (c *Call) Identify(dialect, key string, rate limit.Rate) (Holder, error) {
	caller, ok := c.Service.Apps().Configured().Caller(key)
	if !ok {
		if err := c.Spend(c.Service.CountClient(dialect+" unknown key", c.Client)); err != nil {
			return Nobody, err
		}
		return Nobody, errBadKey
	}
	c.Service.Core().Apps().UseKey(caller.Key)
	holder, count := Secret, c.Count
	if caller.Key.Publishable { // every visitor has it: none uses it up for the others
		holder, count = Publishable, c.CountFrom
	}
	if err := count(dialect+" key "+caller.Key.ID(), rate); err != nil {
		return Nobody, err
	}
	c.Caller = caller
	return holder, nil
}

// KeyHeader carries a key where Authorization has the token of a session.
const KeyHeader = "X-API-Key"

// Beside is Authenticate for the key that stands beside a session's token.
func (c *Call) Beside(dialect string, rate limit.Rate) (Holder, error) {
	switch keys := c.R.Header.Values(KeyHeader); len(keys) {
	case 0:
		return Nobody, nil
	case 1:
		return c.Identify(dialect, keys[0], rate)
	}
	return Nobody, errTwoBeside
}

// Whose is whose proofs and sessions count for a call that may come without a
// key: those of the app and the data, live or test, that its key is for. Without
// one they are the live ones of app, which the path names, or of the only app if
// it is nil: anybody who holds another app's key, or a test key, makes proofs and
// sessions for any address without a mail. how says how a key is sent.
func (c *Call) Whose(app *apps.App, how string) (apps.Caller, error) {
	if c.Caller.App != nil {
		return c.Caller, nil
	}
	if app == nil {
		app = c.Service.Apps().Configured().Only()
	}
	if app == nil {
		return apps.Caller{}, Refuse(http.StatusUnauthorized, CodeUnauthorized, "Which app this is for is not clear without a key: send the app's key as "+how+".")
	}
	return apps.Caller{App: app}, nil
}

// Count counts the call for name, tells what is left in X-RateLimit-*, and
// refuses what is too much. When several names are counted, the headers speak
// of the last one that is over, else of the first.
func (c *Call) Count(name string, rate limit.Rate) error {
	return c.Spend(c.Service.Core().Count(name, rate))
}

// CountFrom is Count for the client alone.
func (c *Call) CountFrom(name string, rate limit.Rate) error {
	return c.Spend(c.Service.Core().CountFrom(name, c.Client, rate))
}

// Spend is Count for what was counted already.
func (c *Call) Spend(q limit.Quota) error {
	h := c.W.Header()
	if q.Over || h.Get("X-RateLimit-Limit") == "" {
		h.Set("X-RateLimit-Limit", strconv.Itoa(q.Limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(q.Remaining))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(q.Reset.Unix(), 10))
	}
	if !q.Over {
		return nil
	}
	refusal := *errTooMany
	refusal.RetryAfter = q.Reset.Sub(c.Service.Now())
	return &refusal
}

// RetryAfter tells when to try again, if that is known.
func (c *Call) RetryAfter(wait time.Duration) {
	if wait > 0 {
		c.W.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
}

// Bearer returns the token of an Authorization: Bearer header, "" for none or
// for more than one.
func (c *Call) Bearer() string {
	values := c.R.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// AllowOrigin lets a page at any origin read the answer, without cookies.
func (c *Call) AllowOrigin() {
	c.W.Header().Set("Access-Control-Allow-Origin", "*")
}

// AllowAppOrigin lets pages at the app's own origins read the answer and send
// Authorization.
func (c *Call) AllowAppOrigin(app *apps.App) {
	h := c.W.Header()
	h.Add("Vary", "Origin")
	origin, err := origin.Parse(c.R.Header.Get("Origin"))
	if err != nil || app == nil {
		return
	}
	for _, o := range app.Origins {
		if o == origin {
			h.Set("Access-Control-Allow-Origin", c.R.Header.Get("Origin"))
			h.Set("Access-Control-Expose-Headers", "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After")
			return
		}
	}
}

// Clicked finds the link of a slot behind a token in the app's live data, else in its
// test data: who clicks has no key that would tell. Nothing is used up. The
// Caller is the one to Prove with.
func (c *Call) Clicked(app *apps.App, slot, token string) (caller apps.Caller, found apps.Proved, err error) {
	for _, test := range []bool{false, true} {
		caller = apps.Caller{App: app, Key: apps.Key{Test: test}}
		found, err = c.Service.Apps().Look(c.R.Context(), caller, slot, token)
		if err != nil || found.Verdict != event.Unknown {
			break
		}
	}
	return caller, found, err
}
