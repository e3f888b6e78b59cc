package authcore_test

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

func (h *house) sessionsOf(sub string) []session.Info {
	h.t.Helper()
	list, err := h.core.Sessions().Of(h.t.Context(), sub)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func TestSessionsOfOnePerson(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first := h.browser().signIn(alice).Session
		time.Sleep(2 * time.Minute)
		b := h.browser()
		b.Client, b.UserAgent = netip.MustParseAddr("203.0.113.9"), "Other/2"
		second := b.signIn(alice).Session
		time.Sleep(2 * time.Minute)
		bob := h.browser().signIn(mustAddress("bob@example.com")).Session
		list := h.sessionsOf(first.Subject)
		want(t, len(list), 2)
		want(t, list[0].ID, second.ID) // last used first
		want(t, list[0].Agent, "Other/2")
		want(t, list[0].Network, "203.0.113.0/24")
		want(t, list[0].Method, "code")
		wantAll(t, list[0].Sites, site.String())
		want(t, list[1].ID, first.ID)
		want(t, list[0].AuthTime.Equal(second.AuthTime), true)

		time.Sleep(2 * time.Minute)
		h.service.Sessions().Opened(first, other)
		list = h.sessionsOf(first.Subject)
		want(t, list[0].ID, first.ID) // used meanwhile
		wantAll(t, list[0].Sites, site.String(), other.String())
		h.reopen()
		list = h.sessionsOf(first.Subject)
		want(t, list[0].ID, first.ID)
		wantAll(t, list[0].Sites, site.String(), other.String())

		// Somebody else's session can't be ended by its id.
		ended, err := h.core.Sessions().EndOwn(t.Context(), first.Subject, bob.ID, "ended_by_owner")
		want(t, err, nil)
		want(t, ended, false)
		ended, _ = h.core.Sessions().EndOwn(t.Context(), first.Subject, second.ID, "ended_by_owner")
		want(t, ended, true)
		want(t, len(h.sessionsOf(first.Subject)), 1)
		n, err := h.core.Sessions().EndOthers(t.Context(), first.Subject, session.Kept{Session: first.ID}, "ended_by_owner")
		want(t, err, nil)
		want(t, n, 0)
		n, _ = h.core.Sessions().EndPerson(t.Context(), first.Subject, "revoked")
		want(t, n, 1)
		want(t, len(h.sessionsOf(first.Subject)), 0)
		want(t, len(h.sessionsOf(bob.Subject)), 1)
	})
}

// TestUsesOfSites: how much a person has used each site is known over all their
// browsers, before and after it is written, and nobody else's counts.
func TestUsesOfSites(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		uses := func(sub string) map[string]int {
			t.Helper()
			all, err := h.core.Sessions().Uses(t.Context(), sub)
			want(t, err, nil)
			return all
		}
		open := func(s *session.Session, at origin.Origin, minutes int) {
			for range minutes {
				for range 3 { // within a minute it counts once
					h.service.Sessions().Opened(s, at)
				}
				time.Sleep(time.Minute)
			}
		}
		laptop := h.browser().signIn(alice).Session
		time.Sleep(2 * time.Minute)
		phone := h.browser().signIn(alice).Session
		bob := h.browser().signIn(mustAddress("bob@example.com")).Session
		want(t, len(uses(laptop.Subject)), 0)
		h.service.Sessions().Opened(laptop, site)
		want(t, uses(laptop.Subject)[site.String()], 1) // not written yet
		time.Sleep(2 * time.Minute)
		open(laptop, other, 4)
		open(phone, other, 2)
		open(phone, site, 1)
		open(bob, site, 9)
		for range 2 { // as memory has it, and as the store has
			all := uses(laptop.Subject)
			want(t, all[other.String()], 6)
			want(t, all[site.String()], 2)
			want(t, uses(bob.Subject)[site.String()], 9)
			h.reopen()
		}
		h.core.Sessions().End(t.Context(), laptop.ID, "signed_out")
		want(t, uses(laptop.Subject)[other.String()], 6) // what has ended counts while its record is kept
		want(t, len(uses("nobody")), 0)
	})
}

func TestSessionsByPage(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		all := map[string]bool{}
		for i := range 25 {
			b := h.browser()
			b.Client = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			all[b.signIn(mustAddress("u"+strings.Repeat("x", i)+"@example.com")).Session.ID] = true
			time.Sleep(time.Second)
		}
		ended := ""
		for id := range all {
			ended = id
		}
		h.core.Sessions().End(t.Context(), ended, "revoked")
		delete(all, ended)
		seen, pages, after := 0, 0, ""
		for {
			page, next, err := h.core.Sessions().List(t.Context(), after, 10)
			want(t, err, nil)
			for _, s := range page {
				want(t, all[s.ID], true)
				want(t, s.Address.IsZero(), false)
				delete(all, s.ID)
				seen++
			}
			pages++
			if after = next; next == "" {
				break
			}
		}
		want(t, seen, 24)
		want(t, pages, 3)
		time.Sleep(25 * time.Hour) // idle too long: nobody is signed in any more
		page, _, _ := h.core.Sessions().List(t.Context(), "", 100)
		want(t, len(page), 0)
	})
}

func TestStatusCounts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		synctest.Wait()
		one := h.browser().signIn(alice).Session
		h.browser().signIn(mustAddress("bob@example.com"))
		want(t, h.core.Status().Sessions, 2)
		h.core.Sessions().End(t.Context(), one.ID, "revoked")
		want(t, h.core.Status().Sessions, 1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		status := h.core.Status()
		want(t, status.Sessions, 1)
		want(t, status.People, 2)
		want(t, status.CountedAt.IsZero(), false)
		want(t, len(status.Keys), 1)
		want(t, status.Keys[0].Signs, true)
		want(t, status.Senders[0].Name, "recorder")
		want(t, status.Senders[0].SentAt.IsZero(), false)
		want(t, status.Senders[0].Down, false)
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		want(t, h.core.Status().Sessions, 0)
	})
}

// After a restart the numbers are there at once, without counting, and are
// counted when they are old.
func TestStatusIsKept(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		synctest.Wait()
		one := h.browser().signIn(alice).Session
		h.browser().signIn(mustAddress("bob@example.com"))
		h.core.Sessions().End(t.Context(), one.ID, "revoked")
		counted := h.core.Status().CountedAt
		time.Sleep(time.Minute)
		h.reopen()
		synctest.Wait()
		status := h.core.Status()
		want(t, status.Sessions, 1)
		want(t, status.People, 2)
		want(t, status.CountedAt.Equal(counted), true)
		time.Sleep(time.Hour)
		synctest.Wait()
		status = h.core.Status()
		want(t, status.Sessions, 1)
		want(t, status.CountedAt.After(counted), true)
	})
}

func TestPublicComputer(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		out, err := h.service.Flows().Begin(t.Context(), b.Browser, authcore.Start{Address: alice, Language: "en", Public: true})
		want(t, err, nil)
		b.Flow = out.FlowCookie
		signIn := b.answer(h.sender.code(t)).SignIn
		want(t, signIn.Session.Public, true)
		want(t, signIn.DeviceCookie, "")
		want(t, signIn.Session.Expires.Sub(signIn.Session.AuthTime), time.Hour)
		want(t, h.sessionsOf(signIn.Session.Subject)[0].Public, true)
		for range 59 {
			time.Sleep(time.Minute)
			sess, _ := h.service.Sessions().Check(t.Context(), signIn.Token, site)
			want(t, sess != nil, true)
		}
		time.Sleep(time.Minute)
		sess, _ := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess, nil)
	})
}

func TestAccounts(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		signIn := h.browser().signIn(alice)
		h.browser().signIn(mustAddress("bob@example.com"))
		sub := signIn.Session.Subject
		page, next, err := h.core.Apps().Everybody(t.Context(), "", 1)
		want(t, err, nil)
		want(t, len(page), 1)
		rest, next, err := h.core.Apps().Everybody(t.Context(), next, 100)
		want(t, err, nil)
		want(t, len(rest), 1)
		want(t, next, "")
		for _, id := range []string{sub, "alice@example.com", "ALICE@example.com"} {
			a, err := h.core.Account(t.Context(), id)
			want(t, err, nil)
			want(t, a.Subject, sub)
			want(t, a.Address, alice)
		}
		for _, id := range []string{"", "nobody@example.com", "x", "../meta", sub + "/"} {
			a, err := h.core.Account(t.Context(), id)
			want(t, err, nil)
			want(t, a, nil)
		}
		ok, err := h.core.Rename(t.Context(), sub, "Alice")
		want(t, err, nil)
		want(t, ok, true)
		sess, _ := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess.Name, "Alice") // at once
		h.reopen()
		sess, _ = h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess.Name, "Alice")
	})
}

func TestParseName(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"  Ada \t Lovelace\n": "Ada Lovelace",
		"Zoe\u0308":           "Zoë",
		"李小龍":                 "李小龍",
	} {
		if got, ok := person.ParseName(in); !ok || got != want {
			t.Errorf("%q: %q %v", in, got, ok)
		}
	}
	for _, in := range []string{"a\x00b", "a\u202eb", "a\u200bb", "\xff", strings.Repeat("x", 101), strings.Repeat("x", 1<<20)} {
		if _, ok := person.ParseName(in); ok {
			t.Errorf("%.20q is taken as a name", in)
		}
	}
}

func TestDeleteAccount(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		var cut atomic.Bool
		stream := &session.Stream{Session: signIn.Session, Cutter: cutFunc(func() { cut.Store(true) })}
		h.core.Sessions().Watch(stream)
		defer h.core.Sessions().Unwatch(stream)
		sub := signIn.Session.Subject
		gone, err := h.core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "deleted_by_owner"})
		want(t, err, nil)
		want(t, gone.Verdict, event.Accepted)
		want(t, cut.Load(), true)
		sess, _ := h.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, sess, nil)
		a, _ := h.core.Account(t.Context(), "alice@example.com")
		want(t, a, nil)
		want(t, len(h.attempts(alice)), 0)
		gone, err = h.core.Apps().Delete(t.Context(), apps.Deletion{Subject: sub, Reason: "deleted_by_owner"})
		want(t, err, nil)
		want(t, gone.Verdict, event.Unknown)
		time.Sleep(2 * time.Minute)
		if again := h.browser().signIn(alice).Session.Subject; again == sub {
			t.Fatal("a new account has the old one's subject")
		}
	})
}

func TestRotateKeys(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		old := h.browser().signIn(alice)
		_, before := h.core.SigningKey()
		time.Sleep(time.Hour)
		out, err := h.core.Keys().Rotate(t.Context(), false)
		want(t, err, nil)
		_, now := h.core.SigningKey()
		want(t, now, out.Key)
		want(t, now != before, true)
		fresh := h.browser().signIn(mustAddress("bob@example.com"))
		for range 2 {
			want(t, len(h.core.Keys().AllPublic().Keys), 2)
			for _, token := range []string{old.Token, fresh.Token} {
				sess, err := h.service.Sessions().Check(t.Context(), token, site)
				want(t, err, nil)
				want(t, sess != nil, true)
			}
			h.reopen()
			_, again := h.core.SigningKey()
			want(t, again, now)
		}
		// The old key goes when no session can rest on it any more.
		time.Sleep(30 * 24 * time.Hour)
		want(t, len(h.core.Keys().AllPublic().Keys), 2)
		time.Sleep(2 * 24 * time.Hour)
		want(t, len(h.core.Keys().AllPublic().Keys), 1)
	})
}

func TestRotateKeysAndRevoke(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		old := h.browser().signIn(alice)
		var cut atomic.Bool
		stream := &session.Stream{Session: old.Session, Cutter: cutFunc(func() { cut.Store(true) })}
		h.core.Sessions().Watch(stream)
		defer h.core.Sessions().Unwatch(stream)
		_, err := h.core.Keys().Rotate(t.Context(), true)
		want(t, err, nil)
		want(t, cut.Load(), true)
		time.Sleep(time.Minute)
		fresh := h.browser().signIn(alice)
		for range 2 {
			want(t, len(h.core.Keys().AllPublic().Keys), 1)
			sess, _ := h.service.Sessions().Check(t.Context(), old.Token, site)
			want(t, sess, nil)
			sess, _ = h.service.Sessions().Check(t.Context(), fresh.Token, site)
			want(t, sess != nil, true)
			want(t, len(h.sessionsOf(old.Session.Subject)), 1)
			h.reopen()
		}
	})
}
