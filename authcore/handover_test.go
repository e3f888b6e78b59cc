package authcore_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// In these tests site is the portal and other a site that signs in there.

// at is the same browser at another origin: nothing but what it is given there.
func (b *tab) at(o origin.Origin) *tab {
	return &tab{b.h, session.Browser{Origin: o, Client: b.Client, UserAgent: b.UserAgent}}
}

// ask marks the browser at its site and returns what it asks of the portal.
func (b *tab) ask(path string) session.Handover {
	cookie, state := b.h.service.Sessions().HandoverState(b.Browser)
	b.Flow = cookie
	return session.Handover{Site: b.Origin, ReturnTo: origin.ParseReturnTo(path, b.Origin, nil), State: state}
}

func (b *tab) ticket(h session.Handover) string {
	b.h.t.Helper()
	value, verdict, err := b.h.service.Sessions().GiveTicket(b.h.t.Context(), b.Browser, h)
	want(b.h.t, err, nil)
	want(b.h.t, verdict, event.Accepted)
	return value
}

func (b *tab) take(ticket string) authcore.Answer {
	b.h.t.Helper()
	taken, err := b.h.service.Sessions().TakeTicket(b.h.t.Context(), b.Browser, ticket)
	out := authcore.Answer{Verdict: taken.Verdict}
	if taken.Session != nil {
		out.SignIn = &authcore.SignIn{Session: taken.Session, Token: taken.Token, ReturnTo: taken.ReturnTo}
	}
	return b.took(out, err)
}

// handOver brings the portal's session of b to o.
func (b *tab) handOver(o origin.Origin) (*tab, *authcore.SignIn) {
	b.h.t.Helper()
	there := b.at(o)
	out := there.take(b.ticket(there.ask("/doc?x=1#y")))
	want(b.h.t, out.Verdict, event.Accepted)
	return there, out.SignIn
}

func (h *house) live(token string, at origin.Origin) bool {
	h.t.Helper()
	s, err := h.service.Sessions().Check(h.t.Context(), token, at)
	want(h.t, err, nil)
	return s != nil
}

func TestHandOver(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		portal := b.signIn(alice)
		time.Sleep(time.Hour)
		_, signIn := b.handOver(other)
		s := signIn.Session
		want(t, signIn.ReturnTo.String(), "https://wiki.example.com/doc?x=1#y")
		want(t, signIn.DeviceCookie, "")
		want(t, s.Address, alice)
		want(t, s.Parent, portal.Session.ID)
		want(t, s.Issuer, other.String())
		want(t, s.Audience, other.String())
		want(t, s.AuthTime.Equal(portal.Session.AuthTime), true) // a hand-over proves nothing anew
		want(t, s.Expires.Equal(portal.Session.Expires), true)
		want(t, s.Method(), "code")
		want(t, h.live(signIn.Token, other), true)
		want(t, h.live(signIn.Token, site), false)
		h.reopen()
		want(t, h.live(signIn.Token, other), true)
	})
}

// Whatever is wrong with a ticket, nobody is signed in by it, and it is spent.
func TestTicketsAreForOneBrowserOnce(t *testing.T) {
	third := mustOrigin("https://third.test")
	for name, use := range map[string]func(h *house, alicesPortal, alicesSite *tab, ticket string) authcore.Answer{
		"twice": func(_ *house, _, there *tab, ticket string) authcore.Answer {
			want(there.h.t, there.take(ticket).Verdict, event.Accepted)
			return there.take(ticket)
		},
		"at another site": func(_ *house, b, there *tab, ticket string) authcore.Answer {
			elsewhere := b.at(third)
			elsewhere.Flow = there.Flow
			return elsewhere.take(ticket)
		},
		"at the portal":               func(_ *house, b, _ *tab, ticket string) authcore.Answer { return b.take(ticket) },
		"in a browser without a mark": func(h *house, b, _ *tab, ticket string) authcore.Answer { return b.at(other).take(ticket) },
		"in another's browser": func(h *house, b, _ *tab, ticket string) authcore.Answer {
			gifted := b.at(other)
			gifted.ask("/")
			return gifted.take(ticket)
		},
		"after half a minute": func(_ *house, _, there *tab, ticket string) authcore.Answer {
			time.Sleep(session.HandoverLifetime)
			return there.take(ticket)
		},
		"after signing out": func(h *house, b, there *tab, ticket string) authcore.Answer {
			h.core.Sessions().End(h.t.Context(), b.Session.ID, session.SignedOut)
			return there.take(ticket)
		},
		"cut short":   func(_ *house, _, there *tab, ticket string) authcore.Answer { return there.take(ticket[:42]) },
		"with a tail": func(_ *house, _, there *tab, ticket string) authcore.Answer { return there.take(ticket + "=") },
		"guessed":     func(_ *house, _, there *tab, _ string) authcore.Answer { return there.take(strings.Repeat("A", 43)) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				protects := h.config.Protects
				h.config.Protects = func(o origin.Origin) bool { return o == third || protects(o) }
				h.reopen()
				b := h.browser()
				b.signIn(alice)
				there := b.at(other)
				ticket := b.ticket(there.ask("/"))
				if out := use(h, b, there, ticket); out.SignIn != nil || out.Verdict == event.Accepted {
					t.Fatal("signed in")
				}
				if name == "cut short" || name == "with a tail" || name == "guessed" {
					return
				}
				want(t, there.take(ticket).Verdict, event.Unknown)
			})
		})
	}
}

func TestTicketRace(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		there := b.at(other)
		ticket := b.ticket(there.ask("/"))
		var wg sync.WaitGroup
		accepted := make(chan bool, 50)
		for range cap(accepted) {
			wg.Go(func() {
				out, err := h.service.Sessions().TakeTicket(t.Context(), there.Browser, ticket)
				if err == nil && out.Verdict == event.Accepted {
					accepted <- true
				}
			})
		}
		wg.Wait()
		want(t, len(accepted), 1)
	})
}

func TestTicketsAreGivenOnlyWhereTheyBelong(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		there, _ := b.handOver(other)
		good := b.at(other).ask("/")
		for name, c := range map[string]struct {
			from *tab
			ask  session.Handover
		}{
			"without a session":     {h.browser(), good},
			"with a child":          {there, session.Handover{Site: site, State: good.State}},
			"to a stranger":         {b, session.Handover{Site: mustOrigin("https://evil.test"), State: good.State}},
			"to itself":             {b, session.Handover{Site: site, State: good.State}},
			"to nowhere":            {b, session.Handover{State: good.State}},
			"without a state":       {b, session.Handover{Site: other}},
			"with a state too long": {b, session.Handover{Site: other, State: good.State + "A"}},
		} {
			value, verdict, err := h.service.Sessions().GiveTicket(t.Context(), c.from.Browser, c.ask)
			if err != nil || verdict != event.Unknown || value != "" {
				t.Errorf("%s: %q %v %v", name, value, verdict, err)
			}
		}
	})
}

// A copy of the store hands nobody over.
func TestTicketsAreNotInTheStore(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		there := b.at(other)
		ticket := b.ticket(there.ask("/"))
		err := h.store.View(t.Context(), func(tx store.Tx) error {
			items, err := tx.Scan("", "", 1000)
			for _, item := range items {
				if text := item.Key + string(item.Value); strings.Contains(text, ticket) || strings.Contains(text, there.Flow) {
					t.Errorf("%s holds the ticket or the browser's mark", item.Key)
				}
			}
			return err
		})
		want(t, err, nil)
	})
}

func TestUseAtAnySiteCountsForAll(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		portal := b.signIn(alice)
		_, one := b.handOver(other)
		idle := h.config.Session.Idle
		for range 4 {
			time.Sleep(idle - time.Second)
			want(t, h.live(one.Token, other), true)
		}
		want(t, h.live(portal.Token, site), true)
		time.Sleep(idle - time.Second)
		want(t, h.live(portal.Token, site), true)
		h.reopen() // what was used is in the store, with the portal's session
		time.Sleep(idle - 2*time.Second)
		want(t, h.live(one.Token, other), true)
		time.Sleep(idle)
		want(t, h.live(portal.Token, site), false)
		want(t, h.live(one.Token, other), false)
	})
}

// The last use is shared in memory: the store hears of it once a minute only.
func TestUseCountsBeforeItIsWritten(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		time.Sleep(30 * time.Second) // uses are written at whole minutes
		b := h.browser()
		portal := b.signIn(alice)
		_, one := b.handOver(other)
		time.Sleep(h.config.Session.Idle - 20*time.Second)
		want(t, h.live(one.Token, other), true)
		time.Sleep(25 * time.Second)
		want(t, h.live(portal.Token, site), true)
	})
}

// Signing in again at the portal, as a site's fresh demands, ends the portal's
// old session; what was handed over from it goes on under the new one.
func TestSigningInAgainKeepsTheSites(t *testing.T) {
	for _, where := range []string{"in memory", "in the store"} {
		t.Run(where, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				b := h.browser()
				b.signIn(alice)
				_, one := b.handOver(other)
				time.Sleep(time.Hour)
				again := b.signIn(alice)
				if where == "in the store" {
					h.reopen()
				}
				s, err := h.service.Sessions().Check(t.Context(), one.Token, other)
				want(t, err, nil)
				want(t, s.Parent, again.Session.ID)
				all, _ := h.service.Sessions().SignIns(t.Context(), again.Session)
				want(t, len(all), 2)
				h.core.Sessions().End(t.Context(), again.Session.ID, session.SignedOut)
				want(t, h.live(one.Token, other), false)
				all, _ = h.service.Sessions().SignIns(t.Context(), again.Session)
				want(t, len(all), 0)
			})
		})
	}
}

func TestAnotherPersonAtThePortalEndsTheSites(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		_, one := b.handOver(other)
		b.signIn(mustAddress("bob@example.com"))
		want(t, h.live(one.Token, other), false)
		h.reopen()
		want(t, h.live(one.Token, other), false)
	})
}
