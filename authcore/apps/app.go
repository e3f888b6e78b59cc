package apps

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// App is a client of the JSON APIs, as the configuration describes it. It is
// read-only once it is in use.
type App struct {
	ID   string // letters, digits, - and _, at most 64; names the app in paths
	Name string // what mails and text messages call it; empty: ID
	Keys []Key

	Callbacks       origin.Callbacks // where a callback may lead; the first one without * is the default
	DevCallback     string           // the default while the caller says it is developing
	Redirects       origin.Redirects // registered URLs by use
	VerificationURL string           // where links in mails point; empty: at the API
	LinkLifetime    time.Duration    // of links; 0: the wire format's default
	SessionLifetime time.Duration    // the longest that any session lives; 0: the wire format's default
	AutoCreate      bool             // an unknown address becomes a person
	Organizations   bool             // people may have organizations
	Profile         bool             // a sign-in by code tells name and city
	AutoVerify      bool             // links may lead to a page of ours, which signs in who waits for them
	Fingerprint     FingerprintUse   // what must be the same at verification
	Plans           []Plan           // the first is a new person's
	Origins         []origin.Origin  // browsers there may call what publishable keys may
}

// DisplayName is what people are told the app is called.
func (a *App) DisplayName() string {
	if a.Name != "" {
		return a.Name
	}
	return a.ID
}

// Plan is what people or organizations of an app are entitled to.
type Plan struct {
	ID           string
	Name         string         // empty: ID
	Entitlements map[string]any // bool, int64 or []string by feature
}

// Plan returns the plan with id, nil for none.
func (a *App) Plan(id string) *Plan {
	for i := range a.Plans {
		if a.Plans[i].ID == id {
			return &a.Plans[i]
		}
	}
	return nil
}

// FingerprintUse says which parts of a device's fingerprint must be the same
// where a link is used as where it was asked for.
type FingerprintUse struct{ IP, UserAgent bool }

// FirstPlan is a new person's, "" for none.
func (a *App) FirstPlan() string {
	if a == nil || len(a.Plans) == 0 {
		return ""
	}
	return a.Plans[0].ID
}

// Caller is who calls an API: an app, with one of its keys.
type Caller struct {
	App *App
	Key Key
}

// Realm returns whose data the caller sees.
func (c Caller) Realm() person.Realm { return person.Realm{App: c.App.ID, Test: c.Key.Test} }

// List is all apps of a configuration. The nil List has none.
type List struct {
	byID  map[string]*App
	byKey map[[sha256.Size]byte]Caller
	list  []*App
}

// NewList checks the apps together: ids and keys must be unique.
func NewList(list ...*App) (*List, error) {
	apps := &List{byID: map[string]*App{}, byKey: map[[sha256.Size]byte]Caller{}, list: list}
	for _, app := range list {
		if !IsID(app.ID) {
			return nil, fmt.Errorf("app %q: an id has 1 to 64 letters, digits, - or _", app.ID)
		}
		if apps.byID[app.ID] != nil {
			return nil, fmt.Errorf("app %s is there twice; write all its options in one block", app.ID)
		}
		apps.byID[app.ID] = app
		for _, key := range app.Keys {
			if other, taken := apps.byKey[key.hash]; taken {
				return nil, fmt.Errorf("app %s: one of its keys is a key of app %s too; every key needs to be its own", app.ID, other.App.ID)
			}
			apps.byKey[key.hash] = Caller{app, key}
		}
	}
	return apps, nil
}

// IsID tells whether id has the form of an app's id.
func IsID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !ascii.IsLetterOrDigit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Caller returns whose key it is. Only hashes are compared, so that the time it
// takes tells nothing about any key.
func (a *List) Caller(key string) (Caller, bool) {
	if a == nil || key == "" || len(key) > 512 {
		return Caller{}, false
	}
	c, ok := a.byKey[sha256.Sum256([]byte(key))]
	return c, ok
}

// Find returns the app with id, nil for none.
func (a *List) Find(id string) *App {
	if a == nil {
		return nil
	}
	return a.byID[id]
}

// Only returns the app that calls without a key are about: the one that has live
// keys, nil where none or several have.
func (a *List) Only() *App {
	var only *App
	for _, app := range a.All() {
		if !slices.ContainsFunc(app.Keys, func(k Key) bool { return !k.Test }) {
			continue
		}
		if only != nil {
			return nil
		}
		only = app
	}
	return only
}

// All returns the apps in the order of the configuration.
func (a *List) All() []*App {
	if a == nil {
		return nil
	}
	return a.list
}

// MayRedirect tells whether the app may have a browser sent to rawURL. It is
// asked when a link is asked for, and again when it is used.
func (a *App) MayRedirect(use origin.RedirectUse, rawURL string) bool {
	if use == origin.RedirectCallback {
		return a.Callbacks.Allows(rawURL)
	}
	return a.Redirects.Allows(use, rawURL)
}
