package link

import (
	"net/http"
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

const (
	name = "link"
	// slot is where a newer code takes the place of an older one.
	slot = "link"
	// codePage shows the code, once too many wrong ones were given for an address.
	codePage = "/api/code"
)

var (
	// perKey bounds the calls with one key. The original says nothing.
	perKey = limit.Rate{Count: 1000, Per: time.Minute}
	// resend is how soon a code may be asked for again: what the clients of the
	// original wait for.
	resend = []limit.Rate{{Count: 1, Per: 10 * time.Second}}
)

// New makes the dialect.
func New(c api.Config) *API {
	a := &API{service: c.Service}
	a.Router = &api.Router{Config: c, Fail: fail, Shown: shown, Roots: []string{"/api/"}}
	for _, path := range []string{"/api/lookup-email", "/lookup"} {
		a.On(http.MethodGet, path, a.lookup)
		a.On(http.MethodPost, path, a.lookup)
	}
	for _, prefix := range []string{"/api", ""} {
		a.On(http.MethodPost, prefix+"/start_verification", a.start)
		a.On(http.MethodPost, prefix+"/authenticate", a.authenticate)
	}
	a.ShowsCode(codePage, slot)
	return a
}

// Name implements api.Dialect.
func (*API) Name() string { return name }

// fail answers in the one shape that all calls share: authenticate's, with the
// result that the other two have.
func fail(c *api.Call, r *api.Refusal) error {
	return c.Answer(r.Status, map[string]any{"result": "error", "authenticationSuccessful": false, "errorMessage": r.Message})
}

// consumer is somebody whom an app can ask to prove an address.
type consumer struct {
	name  string
	phone address.Phone
	gate  bool // from a gate alone: the app has not made anybody with the address
}

// find looks an address up: in the app's data, and for live keys among those
// who have signed in at a gate.
func (a *API) find(c *api.Call, address address.Address) (*consumer, error) {
	realm := c.Caller.Realm()
	p, err := a.service.Apps().Person(c.R.Context(), realm, person.Whom{Email: address})
	if err != nil {
		return nil, err
	}
	if p != nil {
		return &consumer{name: p.Name, phone: p.Phone()}, nil
	}
	if realm.Test {
		return nil, nil
	}
	name, known, err := a.service.Apps().GatePerson(c.R.Context(), address)
	if err != nil || !known {
		return nil, err
	}
	return &consumer{name: name, gate: true}, nil
}

// redacted is the number as it may be shown, null for none.
func redacted(p address.Phone) any {
	if p.IsZero() {
		return nil
	}
	return p.Redacted()
}
