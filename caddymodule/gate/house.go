package gate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
	"github.com/gatehouse-auth/gatehouse/oidc"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// House is what the gates of one configuration share. Its fields are set before
// the first request; each may be left out. Requests wait for Open.
type House struct {
	Server   Server   // default: net/http's own, with no proxy in front
	Sites    Sites    // default: each site stands alone
	Observer Observer // default: nobody counts
	Log      *slog.Logger
	Show     func(address.Address) string // as much of an address as a log may hold; default: masked
	Lines    LineLimit
	Cookies  pages.Cookies // what ours are called
	// Includes tells that a handler may make requests for those that it got, as
	// Caddy's templates do.
	Includes bool

	homes  homes
	fields header.Names // beside those of the presets; see Claim

	outings   sync.Map // by their names, of requests under way; see name
	takenAway sync.Map // names of headers of trusted proxies that the log has told of

	running  atomic.Pointer[Running]
	replaced atomic.Bool
	once     sync.Once
	settled  sync.Once
	ready    chan struct{} // closed by Open
}

// Running is what gates work with while their configuration is in use.
type Running struct {
	Service      *authcore.Service
	Core         *authcore.Core
	Pages        *pages.Pages
	Groups       *policy.Groups // default: none
	Lists        *policy.Lists  // default: none
	API          *api.Handler   // for API alone
	OIDC         *oidc.Handler  // for Portal; default: no app signs people in
	Domain       string         // one session for all hosts under it
	InsecureHTTP bool           // sign-in over plain http elsewhere than on localhost
}

// Handler is an app behind a gate, or another handler. Its error is not answered
// yet.
type Handler interface {
	ServeHTTP(http.ResponseWriter, *http.Request) error
}

// Server is what the server knows of a request beyond net/http. Its methods are
// called at each request and should not allocate.
type Server interface {
	// Asked returns the request's address and method as the client sent them,
	// before any rewrite, and the values that handlers of this one request share;
	// nil: none, and a gate inside another one finds nobody.
	Asked(*http.Request) (at *url.URL, method string, shared map[string]any)
	// Peer returns the client's address as trusted proxies make it out, "" for
	// the peer's own, and whether the peer is one of these proxies.
	Peer(shared map[string]any) (client string, trusted bool)
	// SetPeer changes what Peer returns.
	SetPeer(shared map[string]any, client string, trusted bool)
	// IsProxy tells whether addr is that of a proxy that is believed in such requests.
	// It is asked only where headers contradict each other.
	IsProxy(r *http.Request, addr netip.Addr) bool
	// Hide keeps the request out of the server's log: there is a secret in it.
	Hide(shared map[string]any)
	// Quietly is next with a line in the log that leaves the headers out. user is
	// who is signed in, "" for nobody.
	Quietly(next Handler, user string) Handler
	// Tell gives the server answers to http.auth.user.id, .email and so on, for
	// its log and for what stands behind the gate; without a session they are empty.
	Tell(r *http.Request, answers func(key string) (any, bool))
}

// Sites is what a gate has to know of the other sites of the configuration.
type Sites interface {
	// PortalFor is where people sign in for a site; zero: there.
	PortalFor(origin.Origin) origin.Origin
	// IsPortal tells whether sessions of an origin may be handed over to others.
	IsPortal(origin.Origin) bool
	AccountAt(origin.Origin) pages.Account
	// Open lists the sites that the person of a session may open from a client.
	Open(*session.Session, netip.Addr) []origin.Origin
}

// Observer counts what gates do.
type Observer interface {
	// Refused hears of a refusal, by a stable word. With report_only it would
	// have been one.
	Refused(reason string, reportOnly bool)
	// Decided hears how long a gate took to decide.
	Decided(Outcome, time.Duration)
}

// Outcome is what a gate has decided.
type Outcome uint8

// The outcomes.
const (
	Refused Outcome = iota
	Admitted
	Anonymous     // on a public path
	LoginRequired // nobody is signed in, or not freshly enough
	Failed        // it could not be told
)

// Open lets the requests through that wait for the configuration. With nil it did
// not start, and they get a 503.
func (h *House) Open(run *Running) {
	h.running.Store(run)
	h.Settle()
}

// Settle has no request wait any longer, whether or not the house is open.
func (h *House) Settle() {
	ready := h.waits()
	h.settled.Do(func() { close(ready) })
}

// Running is what gates work with, nil before Open.
func (h *House) Running() *Running { return h.running.Load() }

// Replace tells that another configuration is in use. Requests that still come in
// here are judged by that one, too.
func (h *House) Replace() { h.replaced.Store(true) }

func (h *House) waits() chan struct{} {
	h.once.Do(func() { h.ready = make(chan struct{}) })
	return h.ready
}

// openWait bounds how long a request waits for Open: a server may take requests
// before everything has started.
const openWait = 5 * time.Second

// errNotOpen: this configuration did not start in time, or not at all.
var errNotOpen = errors.New("gatehouse has not started")

// Await waits for Open, for 5 seconds at most. An error means that nothing can be
// told about the request: 503. What Running has stays valid when the configuration
// is replaced; calls on a store that was closed then fail with store.ErrClosed.
// What is set on handlers before Open is safe to read after Await has returned.
func (h *House) Await(ctx context.Context) (*Running, error) {
	if run := h.running.Load(); run != nil {
		return run, nil
	}
	timer := time.NewTimer(openWait)
	defer timer.Stop()
	select {
	case <-h.waits():
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if run := h.running.Load(); run != nil {
		return run, nil
	}
	return nil, errNotOpen
}

func (h *House) server() Server {
	if h.Server == nil {
		return plainServer{}
	}
	return h.Server
}

func (h *House) sites() Sites {
	if h.Sites == nil {
		return apart{}
	}
	return h.Sites
}

func (h *House) log() *slog.Logger {
	if h.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return h.Log
}

func (h *House) shown(a address.Address) string {
	if h.Show == nil {
		return a.Masked()
	}
	return h.Show(a)
}

func (h *House) count(kind refusalKind, reportOnly bool) {
	if h.Observer != nil {
		h.Observer.Refused(string(kind), reportOnly)
	}
}

// ownsToken tells whether a bearer token is one of ours, good or not.
func (h *House) ownsToken(secret string) bool {
	if session.IsMachineToken(secret) {
		return true
	}
	run := h.running.Load()
	return run != nil && run.Service.Sessions().KnowsMachine(secret)
}

// groupsOf are the groups of an address, in order.
func (r *Running) groupsOf(a address.Address) []string {
	if r.Groups == nil {
		return nil
	}
	return r.Groups.Of(a)
}

// version is that of the lists that groups rest on.
func (r *Running) version() uint64 {
	if r.Lists == nil {
		return 0
	}
	return r.Lists.Version()
}

// apart is a configuration without other sites.
type apart struct{}

func (apart) PortalFor(origin.Origin) (none origin.Origin)             { return none }
func (apart) IsPortal(origin.Origin) bool                              { return false }
func (apart) AccountAt(origin.Origin) pages.Account                    { return pages.Account{Whole: true} }
func (apart) Open(*session.Session, netip.Addr) (none []origin.Origin) { return nil }

// plainServer is net/http's own.
type plainServer struct{}

type sharedKey struct{}

func (plainServer) Asked(r *http.Request) (*url.URL, string, map[string]any) {
	shared, _ := r.Context().Value(sharedKey{}).(map[string]any)
	return r.URL, r.Method, shared
}
func (plainServer) Peer(map[string]any) (string, bool)           { return "", false }
func (plainServer) SetPeer(map[string]any, string, bool)         {}
func (plainServer) IsProxy(*http.Request, netip.Addr) bool       { return false }
func (plainServer) Hide(map[string]any)                          {}
func (plainServer) Quietly(next Handler, _ string) Handler       { return next }
func (plainServer) Tell(*http.Request, func(string) (any, bool)) {}

// Middleware is what stands before an app: Gate, Cleaner, Pages, Portal, API,
// ForwardAuth.
type Middleware interface {
	ServeHTTP(http.ResponseWriter, *http.Request, Handler) error
}

// Wrap puts m before an app of net/http. Nothing that comes before the app
// returns an error.
func Wrap(m Middleware, app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(sharedKey{}) == nil {
			r = r.WithContext(context.WithValue(r.Context(), sharedKey{}, map[string]any{}))
		}
		_ = m.ServeHTTP(w, r, unfailing{app})
	})
}

// unfailing is an app that answers all by itself.
type unfailing struct{ http.Handler }

// ServeHTTP implements Handler.
func (u unfailing) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	u.Handler.ServeHTTP(w, r)
	return nil
}
