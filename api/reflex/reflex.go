package reflex

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
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
	options Options
	callers []apps.Caller // whose password a link without a key may hold
}

const (
	name = "reflex"
	slot = "reflex"
	// digits of a one-time password, hexadecimal.
	digits = 8
)

// perKey bounds the calls with one key. The original, a function, has none.
var perKey = limit.Rate{Count: 1000, Per: time.Minute}

// New makes the dialect.
func New(c api.Config, o Options) *API {
	a := &API{service: c.Service, options: o.withDefaults()}
	for _, app := range c.Service.Apps().Configured().All() {
		a.callers = append(a.callers, apps.Caller{App: app}, apps.Caller{App: app, Key: apps.Key{Test: true}})
	}
	a.Router = &api.Router{Config: c, Fail: fail, Shown: shown, Roots: []string{"/reflex/"}}
	a.On(http.MethodPost, "/reflex/otp", a.generate)
	a.On(http.MethodPost, "/reflex/validate", a.validate)
	a.On(http.MethodGet, "/reflex/session", a.session)
	a.On(http.MethodPost, "/reflex/logout", a.logout)
	a.On(http.MethodGet, "/reflex/persistent-id", a.persistentID)
	a.OnLike(http.MethodGet, a.options.Route, defaultRoute, a.page)
	a.OnLike(http.MethodPost, a.options.Route, defaultRoute, a.confirm)
	return a
}

// Name implements api.Dialect.
func (*API) Name() string { return name }

// fail answers with the "no" of the call, and why.
func fail(c *api.Call, r *api.Refusal) error {
	out := map[string]any{"message": r.Message}
	switch path := c.R.URL.Path; {
	case strings.Contains(path, "/otp"):
		out["record"], out["otp"] = nil, nil
	case strings.Contains(path, "/validate"):
		out["valid"] = false
	case strings.Contains(path, "/session"):
		out["session_is_valid"] = false
	}
	return c.Answer(r.Status, out)
}

// record is one one-time password, as its maker may see it.
type record struct {
	ID         int64     `json:"id"`
	Email      string    `json:"email"`
	Created    time.Time `json:"created"`
	Expiration time.Time `json:"expiration"`
	Attempts   int       `json:"recent_attempts"`
}

func recordOf(email address.Address, asked apps.Asked) *record {
	if asked.AskedAt.IsZero() {
		return nil
	}
	sum := sha256.Sum256([]byte(asked.Challenge))
	return &record{
		ID:    int64(binary.BigEndian.Uint64(sum[:]) >> 11), // what JavaScript can count to
		Email: email.String(), Created: asked.AskedAt.UTC(), Expiration: asked.Expires.UTC(), Attempts: asked.Attempts,
	}
}

// persistentID is a stable id for an address: others can compute it too, from the
// address as people write it, in lower case.
func persistentID(a address.Address) string {
	sum := sha256.Sum256([]byte(a.Display()))
	return hex.EncodeToString(sum[:])
}

func (a *API) persistentID(c *api.Call) error {
	in, err := c.Query()
	if err != nil {
		return err
	}
	address, err := in.Email()
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{"persistent_id": persistentID(address)})
}
