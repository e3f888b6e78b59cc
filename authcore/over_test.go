package authcore_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// wayToEnd is a way in which sessions end, and which kinds do.
type wayToEnd struct {
	end   func(all *manyHeld)
	ends  []string
	slow  bool // it takes its time, so that tickets are too old anyway
	inUse bool // it does not end what has a stream
}

var browserKinds = []string{portalKind, siteKind, besideKind}

var waysToEnd = map[string]wayToEnd{
	"nothing": {end: func(*manyHeld) {}},
	"signed out at the portal": {end: func(all *manyHeld) {
		all.ended(all.core.Sessions().EndOwn(all.t.Context(), all.portal.Session.Subject, all.portal.Session.ID, session.SignedOut))
	}, ends: []string{portalKind, siteKind}},
	"signed out at the site": {end: func(all *manyHeld) {
		all.ended(all.core.Sessions().End(all.t.Context(), all.there.Session.ID, session.SignedOut))
	}, ends: []string{portalKind, siteKind}},
	"signed out at the site alone": {end: func(all *manyHeld) {
		all.ended(all.core.Sessions().EndHere(all.t.Context(), all.there.Session.ID, session.SignedOut))
	}, ends: []string{siteKind}},
	"one ended": {end: func(all *manyHeld) {
		all.ended(all.core.Sessions().End(all.t.Context(), all.beside.Session.ID, "revoked"))
	}, ends: []string{besideKind}},
	"the token ended": {end: func(all *manyHeld) {
		all.ended(all.service.Sessions().EndToken(all.t.Context(), all.portal.Session.Subject, origin.Origin{}, all.machineID))
	}, ends: []string{machineKind}},
	"the token ended by an operator": {end: func(all *manyHeld) {
		all.ended(all.core.Sessions().End(all.t.Context(), all.machineID, "revoked"))
	}, ends: []string{machineKind}},
	"the app's ended": {end: func(all *manyHeld) {
		all.ended(all.service.Apps().EndSession(all.t.Context(), all.app.Person.Realm, apps.SessionRef{Token: all.app.Token}, "deleted_by_app"))
	}, ends: []string{appKind}},
	"all others ended": {end: func(all *manyHeld) {
		n, err := all.core.Sessions().EndOthers(all.t.Context(), all.portal.Session.Subject, session.Kept{Session: all.there.Session.ID}, "ended_by_owner")
		all.ended(n == 1, err)
	}, ends: []string{besideKind}},
	"all of the person ended": {end: func(all *manyHeld) {
		n, err := all.core.Sessions().EndPerson(all.t.Context(), all.portal.Session.Subject, "revoked")
		all.ended(n == 4, err)
	}, ends: []string{portalKind, siteKind, besideKind, machineKind}},
	"all of the app's person ended": {end: func(all *manyHeld) {
		n, err := all.core.Sessions().EndPerson(all.t.Context(), all.app.Person.Subject, "revoked")
		all.ended(n == 1, err)
	}, ends: []string{appKind}},
	"everything revoked": {end: func(all *manyHeld) {
		_, err := all.core.Keys().Rotate(all.t.Context(), true)
		want(all.t, err, nil)
	}, ends: []string{portalKind, siteKind, besideKind, machineKind, appKind}},
	"everything revoked twice": {end: func(all *manyHeld) {
		for range 2 {
			_, err := all.core.Keys().Rotate(all.t.Context(), true)
			want(all.t, err, nil)
			time.Sleep(time.Second)
		}
	}, ends: []string{portalKind, siteKind, besideKind, machineKind, appKind}},
	"keys rotated": {end: func(all *manyHeld) {
		_, err := all.core.Keys().Rotate(all.t.Context(), false)
		want(all.t, err, nil)
	}},
	"taken out of the configuration": {end: func(all *manyHeld) {
		all.reload(func(c *authcore.Config) { c.Machines = nil })
	}, ends: []string{untilKind, configKind}},
	"the app taken out of the configuration": {end: func(all *manyHeld) {
		none, err := apps.NewList()
		want(all.t, err, nil)
		all.reload(func(c *authcore.Config) { c.Apps = none })
	}, ends: []string{appKind}},
	"shorter sessions configured": {end: func(all *manyHeld) {
		all.reload(func(c *authcore.Config) { c.Session.Max = apart })
	}, ends: []string{portalKind, siteKind}},
	"idle": {end: func(all *manyHeld) { time.Sleep(20 * time.Minute) }, ends: browserKinds, slow: true, inUse: true},
	"as old as sessions get": {end: func(all *manyHeld) {
		all.used(maxLife)
	}, ends: browserKinds, slow: true},
	"as old as tokens get": {end: func(all *manyHeld) {
		all.used(heldLife)
	}, ends: []string{portalKind, siteKind, besideKind, machineKind, appKind, untilKind}, slow: true},
	"the account deleted": {end: func(all *manyHeld) {
		gone, err := all.core.Apps().Delete(all.t.Context(), apps.Deletion{Subject: all.portal.Session.Subject, Reason: "deleted_by_owner"})
		all.ended(gone.Verdict == event.Accepted, err)
	}, ends: []string{portalKind, siteKind, besideKind, machineKind}},
	"the app's person deleted": {end: func(all *manyHeld) {
		v, err := all.deletePerson(all.app.Person.Realm, all.app.Person.Subject)
		all.ended(v == event.Accepted, err)
	}, ends: []string{appKind}},
	"another person at the portal": {end: func(all *manyHeld) {
		all.signInAgain(authcore.Start{Address: mustAddress("bob@example.com")})
	}, ends: []string{portalKind, siteKind}},
	"signed in again at the portal": {end: func(all *manyHeld) {
		time.Sleep(time.Minute)
		all.signInAgain(authcore.Start{Address: alice})
	}, ends: []string{portalKind}, slow: true},
	"the clock set back": {end: func(all *manyHeld) {
		all.setClock(-24 * time.Hour)
	}, ends: []string{portalKind, siteKind, besideKind, machineKind, appKind}},
}

// waysToLook are how it is seen whether a session is over, each in an instance
// of its own: looking is use.
var waysToLook = map[string]func(all *manyHeld, way wayToEnd, over func(kind string) bool){
	"next request": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		for _, kind := range allKinds {
			if got := all.request(kind); got == over(kind) {
				all.t.Errorf("%s: passes %v", kind, got)
			}
		}
	},
	"stream": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		defer all.watch(allKinds...)()
		way.end(all)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for _, kind := range allKinds {
			// Signed in again, a stream goes on under the next session.
			want := over(kind) && !way.inUse && kind != appKind && !all.goesOn(kind)
			if got := all.wasCut(kind); got != want {
				all.t.Errorf("%s: its stream was cut %v", kind, got)
			}
		}
	},
	"streams after it": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		stop := all.watch(allKinds...)
		way.end(all)
		stop()
		all.mu.Lock()
		clear(all.cut)
		all.mu.Unlock()
		for _, kind := range []string{untilKind, configKind} {
			if over(kind) {
				return
			}
		}
		if way.inUse || way.slow {
			return
		}
		st := &session.Stream{Session: all.session(configKind), Target: session.Target{Origin: site}, Cutter: cutFunc(func() { all.t.Error("the later stream of a configured token was cut") })}
		all.core.Sessions().Watch(st)
		defer all.core.Sessions().Unwatch(st)
		time.Sleep(3 * time.Second)
	},
	"after 65 s": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		time.Sleep(65 * time.Second)
		for _, kind := range allKinds {
			if got := all.request(kind); got == over(kind) {
				all.t.Errorf("%s: passes %v", kind, got)
			}
		}
	},
	"used for 65 s": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		for range 65 {
			time.Sleep(time.Second)
			for _, kind := range allKinds {
				if got := all.request(kind); got == over(kind) {
					all.t.Fatalf("%s: passes %v", kind, got)
				}
			}
		}
	},
	"after a restart": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		all.reopen()
		for range 2 {
			for _, kind := range allKinds {
				if got := all.request(kind); got == over(kind) {
					all.t.Errorf("%s: passes %v", kind, got)
				}
			}
			time.Sleep(65 * time.Second)
		}
	},
	"listed": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		for range 2 {
			for _, kind := range allKinds {
				lists := listsOf(kind)
				if over(kind) {
					lists = nil
				}
				if kind == siteKind && all.portalMoved() {
					continue // it stands in the lists of the new sign-in
				}
				if got := all.listed(kind); !slices.Equal(got, lists) {
					all.t.Errorf("%s: listed as %v, want %v", kind, got, lists)
				}
			}
			all.reopen()
		}
	},
	"ended again": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		for _, kind := range []string{siteKind, besideKind, machineKind, appKind} {
			sid, _ := all.sid(kind)
			ended, err := all.core.Sessions().EndHere(all.t.Context(), sid, "revoked")
			want(all.t, err, nil)
			if ended != (!over(kind) || way.inUse) { // apps hold on to what only was not used
				all.t.Errorf("%s: there was one to end: %v", kind, ended)
			}
		}
	},
	"counted": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		want(all.t, all.core.TakeCensus(all.t.Context()), nil)
		live := int64(0)
		for _, kind := range allKinds {
			if sid, _ := all.sid(kind); sid != "" && !over(kind) {
				live++
			}
		}
		if all.browsersMoved() {
			live++ // the new one
		}
		if got := all.core.Status().Sessions; got != live {
			all.t.Errorf("%d sessions counted, want %d", got, live)
		}
	},
	"carried elsewhere": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		text := all.export(true)
		own := all.house
		all.house = own.twin()
		all.setClock(own.ahead)
		own.close()
		if _, err := all.core.Move().Import(all.t.Context(), strings.NewReader(text)); err != nil {
			return // nothing of it: it is from the future
		}
		for _, kind := range []string{portalKind, siteKind, besideKind, appKind} {
			if got := all.request(kind); got == over(kind) {
				all.t.Errorf("%s: passes where it was imported: %v", kind, got)
			}
		}
	},
	"a copy brought back": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		copied := all.export(false)
		way.end(all)
		_, _ = all.core.Move().Import(all.t.Context(), strings.NewReader(copied)) // a deleted person comes back, too, but not their sessions
		for _, kind := range allKinds {
			if got := all.request(kind); got && over(kind) {
				all.t.Errorf("%s: passes after an import", kind)
			}
		}
	},
	"handed over": func(all *manyHeld, way wayToEnd, over func(string) bool) {
		way.end(all)
		want(all.t, all.at.take(all.ticket).SignIn != nil, !over(portalKind) && !way.slow)
	},
}

// goesOn tells whether a later sign-in of the same person took the place.
func (all *manyHeld) goesOn(kind string) bool {
	return kind == portalKind && all.portalMoved()
}

// portalMoved tells whether the browser has signed in as the same person since.
func (all *manyHeld) portalMoved() bool {
	return all.browsersMoved() && all.b.Session.Address == alice
}

func (all *manyHeld) browsersMoved() bool { return all.b.Session.ID != all.portal.Session.ID }

// TestEverySessionEndsEverywhere holds every kind of session against every way
// to end it, seen in every way.
func TestEverySessionEndsEverywhere(t *testing.T) {
	for name, way := range waysToEnd {
		for look, see := range waysToLook {
			t.Run(name+"/"+look, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					all := newManyHeld(t)
					defer func() { all.close() }()
					see(all, way, func(kind string) bool { return slices.Contains(way.ends, kind) })
				})
			})
		}
	}
}

// A gate's policy is asked of every stream, and so is where a token is good.
func TestStreamsEndWithTheRightToThem(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*authcore.Config)
		ends   []string
	}{
		"the person is not admitted": {func(c *authcore.Config) {
			c.Rules = rules(&session.SiteRule{})
		}, []string{portalKind, siteKind, besideKind, machineKind}},
		"one of two sites admits": {func(c *authcore.Config) {
			c.Rules = rules(&session.SiteRule{}, &session.SiteRule{Policy: anybody(t)})
		}, nil},
		"the site's sessions are shorter": {func(c *authcore.Config) {
			c.Rules = rules(&session.SiteRule{Policy: anybody(t), Session: session.Rule{Max: apart}})
		}, []string{portalKind, siteKind}},
		"the site's sessions are idle sooner": {func(c *authcore.Config) {
			c.Rules = rules(&session.SiteRule{Policy: anybody(t), Session: session.Rule{Idle: time.Second}})
		}, nil},
		"the site asks for a fresh sign-in": {func(c *authcore.Config) {
			c.Rules = rules(&session.SiteRule{Policy: anybody(t), Fresh: time.Second})
		}, nil},
		"the token is for another path": {func(c *authcore.Config) {
			c.Machines = slices.Clone(c.Machines)
			for i := range c.Machines {
				c.Machines[i].Paths = *mustPublic(t, "/elsewhere")
			}
			c.Rules = rules(&session.SiteRule{Policy: anybody(t)})
		}, []string{untilKind, configKind}},
		"the token is for another method, and no gate stands there": {func(c *authcore.Config) {
			c.Machines = slices.Clone(c.Machines)
			for i := range c.Machines {
				c.Machines[i].Methods = []string{"POST"}
			}
		}, []string{untilKind, configKind}},
		"the token is for another site": {func(c *authcore.Config) {
			c.Machines = slices.Clone(c.Machines)
			elsewhere, _ := origin.ParseSitePattern("wiki.example.com")
			for i := range c.Machines {
				c.Machines[i].Sites = []origin.SitePattern{elsewhere}
			}
		}, []string{untilKind, configKind}},
		"the token ends sooner": {func(c *authcore.Config) {
			c.Machines = slices.Clone(c.Machines)
			for i := range c.Machines {
				c.Machines[i].Until = time.Now()
			}
		}, []string{untilKind, configKind}},
		"the token ends later": {func(c *authcore.Config) {
			c.Machines = slices.Clone(c.Machines)
			for i := range c.Machines {
				c.Machines[i].Until = time.Now().Add(time.Hour)
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := newManyHeld(t)
				defer func() { all.close() }()
				defer all.watch(allKinds...)()
				all.reload(c.change)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for _, kind := range allKinds {
					want(t, all.wasCut(kind), slices.Contains(c.ends, kind))
				}
			})
		})
	}
}

// What was handed over from a portal does not outlive the portal's session, whose
// time may become shorter, nor that its record is gone.
func TestASiteEndsWithThePortal(t *testing.T) {
	for name, when := range map[string]string{"in memory": "", "as a stream": "stream", "after a restart": "restart"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := newManyHeld(t)
				defer func() { all.close() }()
				// Signed in again on what turns out to be a public computer.
				again := all.signInAgain(authcore.Start{Address: alice, Public: true})
				if when == "stream" {
					defer all.watch(siteKind)()
				}
				if when == "restart" {
					all.reopen()
				}
				for range 5 {
					time.Sleep(10 * time.Minute)
					want(t, all.request(siteKind), true)
					want(t, all.live(again.Token, site), true)
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				want(t, all.request(siteKind), false)
				want(t, all.live(again.Token, site), false)
				time.Sleep(2 * time.Second)
				want(t, all.wasCut(siteKind), when == "stream")
				want(t, len(all.listed(siteKind)), 0)
			})
		})
	}
	t.Run("whose record is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			all := newManyHeld(t)
			defer func() { all.close() }()
			err := all.store.Update(t.Context(), func(tx store.Tx) error {
				tx.Delete("session/" + all.portal.Session.ID)
				return nil
			})
			want(t, err, nil)
			want(t, len(all.listed(siteKind)), 0)
			time.Sleep(65 * time.Second)
			want(t, all.request(siteKind), false)
			all.reopen()
			want(t, all.request(siteKind), false)
		})
	})
}

// A person's record may go before their sessions, when a deletion is cut short.
func TestSessionsOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newManyHeld(t)
		defer func() { all.close() }()
		err := all.store.Update(t.Context(), func(tx store.Tx) error {
			tx.Delete("person/" + all.portal.Session.Subject)
			tx.Delete("person/" + all.app.Person.Subject)
			return nil
		})
		want(t, err, nil)
		for range 2 {
			time.Sleep(31 * time.Second)
			for _, kind := range []string{portalKind, siteKind, besideKind, machineKind, appKind} {
				if all.request(kind) {
					t.Errorf("%s passes", kind)
				}
				if lists := all.listed(kind); len(lists) > 0 && kind != machineKind && kind != portalKind && kind != siteKind {
					t.Errorf("%s stands in %v", kind, lists)
				}
			}
			all.reopen()
		}
	})
}

// A ticket is worth no more than the session it was made for is at the moment.
func TestHandOverFromAParentThatIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		before time.Duration // how old the session gets, in use
		rest   time.Duration // how long it lies idle after that
		then   func(all *manyHeld)
		given  bool
	}{
		"live":       {given: true, then: func(*manyHeld) {}},
		"expired":    {before: maxLife - apart - 10*time.Second, then: func(*manyHeld) { time.Sleep(15 * time.Second) }},
		"almost":     {before: maxLife - apart - 20*time.Second, then: func(*manyHeld) { time.Sleep(15 * time.Second) }, given: true},
		"idle":       {rest: 20*time.Minute - 10*time.Second, then: func(*manyHeld) { time.Sleep(15 * time.Second) }},
		"revoked":    {then: waysToEnd["everything revoked"].end},
		"configured": {then: waysToEnd["shorter sessions configured"].end},
		"set back":   {then: waysToEnd["the clock set back"].end},
		"of nobody":  {then: waysToEnd["the account deleted"].end},
		"restarted": {before: maxLife - apart - 10*time.Second, then: func(all *manyHeld) {
			all.reopen()
			time.Sleep(15 * time.Second)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := newManyHeld(t)
				defer func() { all.close() }()
				all.used(c.before)
				time.Sleep(c.rest)
				there := all.b.at(mustOrigin("https://fourth.test"))
				ticket := all.b.ticket(there.ask("/"))
				c.then(all)
				out := there.take(ticket)
				want(t, out.SignIn != nil, c.given)
				want(t, out.Verdict == event.Accepted, c.given)
				want(t, there.take(ticket).SignIn, nil)
			})
		})
	}
}

// The clock is set back, a little and by much, while a session is in memory. What
// began later than now is over until the clock has come so far again; what began
// before goes on, and its ending is not overlooked for as long as the clock was
// set back.
func TestCachedSessionWhileTheClockIsSetBack(t *testing.T) {
	for back, passes := range map[time.Duration]bool{30 * time.Second: true, time.Minute + time.Second: false, 24 * time.Hour: false} {
		t.Run(back.String(), func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				token := h.browser().signIn(alice).Token
				want(t, h.live(token, site), true)
				h.setClock(-back)
				want(t, h.live(token, site), passes)
				h.setClock(0)
				want(t, h.live(token, site), true)
			})
		})
	}
	t.Run("and its record says that it has ended", func(t *testing.T) {
		run(t, func(t *testing.T, h *house) {
			r := newRereads(h)
			time.Sleep(3 * time.Hour)
			r.use(time.Minute)
			h.setClock(-time.Hour)
			r.use(time.Second)
			r.endRecord()
			want(t, r.use(62*time.Second), nil)
		})
	})
}
