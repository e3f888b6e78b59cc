package authcore_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// The kinds of sessions. All but the last three are Alice's at the gates.
const (
	portalKind  = "the portal's"
	siteKind    = "a site's, handed over"
	besideKind  = "another browser's"
	machineKind = "a token that a person made"
	appKind     = "an app's"
	untilKind   = "a configured token with an end"
	configKind  = "a configured token"
)

var allKinds = []string{portalKind, siteKind, besideKind, machineKind, appKind, untilKind, configKind}

// manyHeld is one person, and a session of each kind, all in use.
type manyHeld struct {
	*house
	b                     *tab
	portal, there, beside *authcore.SignIn
	secret                string
	machineID             string
	app                   *apps.Session
	ticket                string // of the portal's session
	at                    *tab   // that can take it

	mu  sync.Mutex
	cut map[string]bool // streams
}

const (
	apart        = 10 * time.Minute // from the one browser's sign-in to the other's
	maxLife      = 3 * time.Hour    // of a browser's
	heldLife     = 5 * time.Hour    // of all else
	untilSecret  = "the-secret-of-a-token-with-an-end"
	configSecret = "the-secret-of-a-token-without-one"
)

func newManyHeld(t *testing.T) *manyHeld {
	h, _ := newAppHouse(t)
	h.config.Session = session.Rule{Idle: 20 * time.Minute, Max: maxLife}
	h.config.Protects = func(origin.Origin) bool { return true }
	for name, secret := range map[string]string{"until": untilSecret, "config": configSecret} {
		m := session.ConfiguredMachine{Machine: machineAt(t, name, "app.example.com"), Hash: session.HashMachine(secret)}
		if name == "until" {
			m.Until = h.now().Add(heldLife)
		}
		h.config.Machines = append(h.config.Machines, m)
	}
	h.reopen()
	all := &manyHeld{house: h, b: h.browser(), cut: map[string]bool{}}
	all.portal = all.b.signIn(alice)
	_, all.there = all.b.handOver(other)
	time.Sleep(apart)
	all.beside = h.browser().signIn(alice)
	secret, made, _ := h.makeToken(all.beside.Session, machineAt(t, "backup", "app.example.com"), heldLife)
	all.secret, all.machineID = secret, made.ID
	in := linkFor(alice)
	in.Deliver = false
	all.app = h.prove(apps.Proof{Token: h.ask(in).Token, Session: &apps.SessionTerms{Lifetime: heldLife, Form: session.TokenAlnum}}).Session
	all.at = all.b.at(mustOrigin("https://third.test"))
	all.ticket = all.b.ticket(all.at.ask("/"))
	for _, kind := range allKinds {
		want(t, all.request(kind), true)
	}
	return all
}

// session is what a gate finds for the next request, nil for none.
func (all *manyHeld) session(kind string) *session.Session {
	all.t.Helper()
	token, at := "", site
	switch kind {
	case portalKind:
		token = all.portal.Token
	case siteKind:
		token, at = all.there.Token, other
	case besideKind:
		token = all.beside.Token
	case machineKind:
		return all.machine(all.secret)
	case untilKind:
		return all.machine(untilSecret)
	case configKind:
		return all.machine(configSecret)
	}
	s, err := all.service.Sessions().Check(all.t.Context(), token, at)
	want(all.t, err, nil)
	return s
}

// request tells whether the next request with a session passes.
func (all *manyHeld) request(kind string) bool {
	all.t.Helper()
	if kind != appKind {
		return all.session(kind) != nil
	}
	realm := all.app.Person.Realm
	byToken, _, err := all.service.Apps().Session(all.t.Context(), realm, apps.SessionRef{Token: all.app.Token})
	want(all.t, err, nil)
	byID, _, err := all.service.Apps().Session(all.t.Context(), realm, apps.SessionRef{SID: all.app.ID}) // as JWTs do
	want(all.t, err, nil)
	ofAny, _, err := all.service.Apps().SessionOfAny(all.t.Context(), all.app.Token)
	want(all.t, err, nil)
	want(all.t, byToken != nil, byID != nil)
	want(all.t, byToken != nil, ofAny != nil)
	return byToken != nil
}

// watch opens a stream with each of these kinds of sessions that has streams.
func (all *manyHeld) watch(kinds ...string) (stop func()) {
	all.t.Helper()
	var open []*session.Stream
	for _, kind := range kinds {
		if kind == appKind {
			continue
		}
		st := &session.Stream{Session: all.session(kind), Target: session.Target{Origin: site}, Cutter: cutFunc(func() {
			all.mu.Lock()
			defer all.mu.Unlock()
			all.cut[kind] = true
		})}
		if kind == siteKind {
			st.Target.Origin = other
		}
		all.core.Sessions().Watch(st)
		open = append(open, st)
	}
	return func() {
		for _, st := range open {
			all.core.Sessions().Unwatch(st)
		}
	}
}

func (all *manyHeld) wasCut(kind string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.cut[kind]
}

func (all *manyHeld) sid(kind string) (sid, sub string) {
	sub = all.portal.Session.Subject
	switch kind {
	case portalKind:
		return all.portal.Session.ID, sub
	case siteKind:
		return all.there.Session.ID, sub
	case besideKind:
		return all.beside.Session.ID, sub
	case machineKind:
		return all.machineID, sub
	case appKind:
		return all.app.ID, all.app.Person.Subject
	}
	return "", "" // those of the configuration are in no list
}

// listed tells which lists show a session, by their names.
func (all *manyHeld) listed(kind string) []string {
	all.t.Helper()
	sid, sub := all.sid(kind)
	var lists []string
	shows := func(name string, ids []string, err error) {
		all.t.Helper()
		want(all.t, err, nil)
		if slices.Contains(ids, sid) {
			lists = append(lists, name)
		}
	}
	infos := func(list []session.Info) (ids []string) {
		for _, s := range list {
			ids = append(ids, s.ID)
		}
		return ids
	}
	everybody, _, err := all.core.Sessions().List(all.t.Context(), "", 1000)
	shows("sessions of everybody", infos(everybody), err)
	of, err := all.core.Sessions().Of(all.t.Context(), sub)
	shows("sessions of one", infos(of), err)
	switch kind {
	case portalKind, siteKind:
		found, err := all.service.Sessions().SignIns(all.t.Context(), all.portal.Session)
		var ids []string
		for _, s := range found {
			ids = append(ids, s.ID)
		}
		shows("the sign-in's", ids, err)
	case machineKind:
		found, err := all.service.Sessions().Tokens(all.t.Context(), sub, origin.Origin{})
		var ids []string
		for _, t := range found {
			ids = append(ids, t.ID)
		}
		shows("tokens", ids, err)
	case appKind:
		found, err := all.service.Apps().Sessions(all.t.Context(), all.app.Person.Realm, sub)
		var ids []string
		for _, s := range found {
			ids = append(ids, s.ID)
		}
		shows("the app's", ids, err)
	}
	return lists
}

// listsOf are all lists that a live session stands in.
func listsOf(kind string) []string {
	lists := []string{"sessions of everybody", "sessions of one"}
	switch kind {
	case portalKind, siteKind:
		return append(lists, "the sign-in's")
	case machineKind:
		return append(lists, "tokens")
	case appKind:
		return append(lists, "the app's")
	case untilKind, configKind:
		return nil
	}
	return lists
}

func (all *manyHeld) ended(ended bool, err error) {
	all.t.Helper()
	want(all.t, err, nil)
	want(all.t, ended, true)
}

// signInAgain signs somebody in at the portal, in the browser that is signed in
// there.
func (all *manyHeld) signInAgain(as authcore.Start) *authcore.SignIn {
	all.t.Helper()
	begun, err := all.service.Flows().Begin(all.t.Context(), all.b.Browser, as)
	want(all.t, err, nil)
	all.b.Flow = begun.FlowCookie
	flow, err := all.service.Flows().Flow(all.t.Context(), all.b.Browser, begun.Flow)
	want(all.t, err, nil)
	out := all.b.answer(all.secrets.Current.CodeFor(flow.Challenge, 6))
	want(all.t, out.Verdict, event.Accepted)
	return out.SignIn
}

// used sleeps for d while everything is in use.
func (all *manyHeld) used(d time.Duration) {
	for ; d > 0; d -= 10 * time.Minute {
		time.Sleep(min(d, 10*time.Minute))
		for _, kind := range allKinds {
			all.request(kind)
		}
	}
}

func (all *manyHeld) reload(change func(*authcore.Config)) {
	change(&all.config)
	all.house.reload()
}
