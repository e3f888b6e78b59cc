package authcore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func machineAt(t testing.TB, name string, sites ...string) session.Machine {
	t.Helper()
	m := session.Machine{Name: name}
	for _, s := range sites {
		p, err := origin.ParseSitePattern(s)
		want(t, err, nil)
		m.Sites = append(m.Sites, p)
	}
	return m
}

func (h *house) makeToken(s *session.Session, m session.Machine, life time.Duration) (string, session.MachineToken, session.Refusal) {
	h.t.Helper()
	secret, made, no, err := h.service.Sessions().MakeToken(h.t.Context(), s, origin.Origin{}, m, h.service.Now().Add(life))
	want(h.t, err, nil)
	return secret, made, no
}

func (h *house) machine(secret string) *session.Session {
	h.t.Helper()
	s, _, err := h.service.Sessions().CheckToken(h.t.Context(), secret)
	want(h.t, err, nil)
	return s
}

func TestMachineTokenActsForItsPerson(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		m := machineAt(t, "backup", "app.example.com")
		m.Paths, m.Methods = *mustPublic(t, "/api/*"), []string{"GET"}
		secret, made, no := h.makeToken(signIn.Session, m, 24*time.Hour)
		want(t, no, "")
		for _, state := range []string{"fresh", "after a restart"} {
			s := h.machine(secret)
			if s == nil {
				t.Fatal(state, "refused")
			}
			want(t, s.User(), "token:alice@example.com/backup")
			want(t, s.Address, alice)
			want(t, s.Subject, signIn.Session.Subject)
			want(t, s.Machine.Beyond(session.Target{Origin: site, Method: "GET", Path: "/api/x", Escaped: "/api/x"}) == "", true)
			want(t, s.Machine.Beyond(session.Target{Origin: site, Method: "POST", Path: "/api/x", Escaped: "/api/x"}) == "", false)
			want(t, s.Machine.Beyond(session.Target{Origin: site, Method: "GET", Path: "/admin", Escaped: "/admin"}) == "", false)
			want(t, s.Machine.Beyond(session.Target{Origin: site, Method: "GET", Path: "/api/../admin", Escaped: "/api/%2e%2e/admin"}) == "", false)
			want(t, s.Machine.Beyond(session.Target{Origin: other, Method: "GET", Path: "/api/x", Escaped: "/api/x"}) == "", false)
			h.reopen()
		}
		// A token is no session: no cookie makes one of it, and it hands nothing over.
		s, _ := h.service.Sessions().Check(t.Context(), secret, site)
		want(t, s, nil)
		s, _ = h.service.Sessions().Check(t.Context(), session.HashMachine(secret).String(), site)
		want(t, s, nil)
		_, verdict, _ := h.service.Sessions().GiveTicket(t.Context(), session.Browser{Origin: site, Session: h.machine(secret)}, b.at(other).ask("/"))
		want(t, verdict, event.Unknown)

		time.Sleep(3 * time.Hour)
		h.machine(secret)
		time.Sleep(2 * time.Minute) // the last use is written once a minute
		list, err := h.service.Sessions().Tokens(t.Context(), signIn.Session.Subject, origin.Origin{})
		want(t, err, nil)
		want(t, len(list), 1)
		want(t, list[0].Name, "backup")
		want(t, list[0].ID, made.ID)
		want(t, list[0].LastUsed.Sub(made.Made) > 2*time.Hour, true)
		h.reopen()
		list, _ = h.service.Sessions().Tokens(t.Context(), signIn.Session.Subject, origin.Origin{})
		want(t, list[0].LastUsed.Sub(made.Made) > 2*time.Hour, true)

		time.Sleep(24 * time.Hour)
		want(t, h.machine(secret), nil)
	})
}

func TestMachineTokensEndAtOnce(t *testing.T) {
	for name, end := range map[string]func(h *house, s *session.Session, id string){
		"by its person": func(h *house, s *session.Session, id string) {
			gone, err := h.service.Sessions().EndToken(h.t.Context(), "somebody-else", origin.Origin{}, id)
			want(h.t, err, nil)
			want(h.t, gone, false)
			gone, err = h.service.Sessions().EndToken(h.t.Context(), s.Subject, origin.Origin{}, id)
			want(h.t, err, nil)
			want(h.t, gone, true)
		},
		"with its person": func(h *house, s *session.Session, _ string) {
			_, err := h.core.Sessions().EndPerson(h.t.Context(), s.Subject, "removed")
			want(h.t, err, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, h *house) {
				signIn := h.browser().signIn(alice)
				secret, made, _ := h.makeToken(signIn.Session, machineAt(t, "backup", "app.example.com"), time.Hour)
				cut := make(chan bool, 1)
				st := &session.Stream{Session: h.machine(secret), Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut <- true })}
				h.core.Sessions().Watch(st)
				defer h.core.Sessions().Unwatch(st)
				end(h, signIn.Session, made.ID)
				want(t, h.machine(secret), nil)
				<-cut
				h.reopen()
				want(t, h.machine(secret), nil)
				list, _ := h.service.Sessions().Tokens(t.Context(), signIn.Session.Subject, origin.Origin{})
				want(t, len(list), 0)
			})
		})
	}
}

func TestMachineTokensAreRefused(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		s := b.signIn(alice).Session
		_, child := b.handOver(other)
		good := machineAt(t, "backup", "app.example.com")
		_, _, no := h.makeToken(child.Session, good, time.Hour)
		want(t, no, session.NotHere)
		_, _, no = h.makeToken(s, machineAt(t, "a/b", "app.example.com"), time.Hour)
		want(t, no, session.BadMachine)
		_, _, no = h.makeToken(s, session.Machine{Name: "nowhere"}, time.Hour)
		want(t, no, session.BadMachine)
		for _, elsewhere := range []string{"evil.test", "*.example.com"} {
			_, _, no = h.makeToken(s, machineAt(t, "x", elsewhere), time.Hour)
			want(t, no, session.BadSite)
		}
		for _, life := range []time.Duration{0, -time.Hour, session.MachineLifetime + time.Hour} {
			_, _, no = h.makeToken(s, good, life)
			want(t, no, session.BadUntil)
		}
		secret, _, no := h.makeToken(s, good, time.Hour)
		want(t, no, "")
		_, _, no = h.makeToken(s, good, time.Hour) // beside the old one, while programs are moved over
		want(t, no, "")
		_, _, no = h.makeToken(s, good, time.Hour)
		want(t, no, session.NameTaken)
		_, _, no = h.makeToken(h.machine(secret), machineAt(t, "child", "app.example.com"), time.Hour)
		want(t, no, session.NotHere)
		for i := range session.MaxMachines {
			_, _, no = h.makeToken(s, machineAt(t, "n"+string(rune('a'+i)), "app.example.com"), time.Hour)
		}
		want(t, no, session.TooManyMade)
		time.Sleep(session.MachineFresh)
		_, _, no = h.makeToken(s, machineAt(t, "late", "app.example.com"), time.Hour)
		want(t, no, session.NotFresh)
		for _, garbage := range []string{"", "ght_", secret[:len(secret)-1], secret + "A", strings.ToUpper(secret), "ght_" + strings.Repeat("A", 43)} {
			want(t, h.machine(garbage), nil)
		}
	})
}

// What is made on a site's own origin is good there alone, and not for long: a
// script of its app may have made it. A session that was handed over will do.
func TestMachineTokensOfASiteItself(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		root := b.signIn(alice).Session
		_, handed := b.handOver(other)
		child := handed.Session
		at := func(s *session.Session, own origin.Origin, name, site string, life time.Duration) session.Refusal {
			_, _, no, err := h.service.Sessions().MakeToken(t.Context(), s, own, machineAt(t, name, site), h.service.Now().Add(life))
			want(t, err, nil)
			return no
		}
		want(t, at(child, other, "a", other.String(), session.OwnSiteLifetime), "")
		want(t, at(child, other, "b", other.String(), session.OwnSiteLifetime+time.Second), session.BadUntil)
		for _, elsewhere := range []string{site.String(), "*.example.com", "https://*.example.com", "http://wiki.example.com", "https://wiki.example.com:8443"} {
			want(t, at(child, other, "c", elsewhere, time.Hour), session.BadSite)
			want(t, at(root, other, "c", elsewhere, time.Hour), session.BadSite)
		}
		// Neither names nor numbers of one site's tokens concern another's.
		want(t, at(root, site, "a", site.String(), time.Hour), "")
		for i := range session.MaxMachines - 1 {
			want(t, at(child, other, "n"+string(rune('a'+i)), other.String(), time.Hour), "")
		}
		want(t, at(child, other, "more", other.String(), time.Hour), session.TooManyMade)
		want(t, at(root, origin.Origin{}, "more", site.String(), time.Hour), "")

		all, err := h.service.Sessions().Tokens(t.Context(), root.Subject, origin.Origin{})
		want(t, err, nil)
		want(t, len(all), session.MaxMachines+2)
		own, err := h.service.Sessions().Tokens(t.Context(), root.Subject, site)
		want(t, err, nil)
		want(t, len(own), 2)
		gone, err := h.service.Sessions().EndToken(t.Context(), root.Subject, other, own[0].ID)
		want(t, err, nil)
		want(t, gone, false)
		gone, err = h.service.Sessions().EndToken(t.Context(), root.Subject, site, own[0].ID)
		want(t, err, nil)
		want(t, gone, true)
	})
}

func TestMachineTokensAreHashed(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		s := h.browser().signIn(alice).Session
		secret, _, _ := h.makeToken(s, machineAt(t, "backup", "app.example.com"), time.Hour)
		err := h.store.View(t.Context(), func(tx store.Tx) error {
			items, err := tx.Scan("", "", 1000)
			for _, item := range items {
				if strings.Contains(item.Key+string(item.Value), secret[4:]) {
					t.Errorf("%s holds the secret", item.Key)
				}
			}
			return err
		})
		want(t, err, nil)
	})
}

func TestConfiguredMachines(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		secret := strings.Repeat("s", session.MinMachineSecret)
		backup := session.ConfiguredMachine{Machine: machineAt(t, "backup", "*.example.com"), Hash: session.HashMachine(secret)}
		backup.Until = time.Now().Add(time.Hour)
		h.config.Machines = []session.ConfiguredMachine{backup}
		want(t, session.CheckMachines(h.config.Machines), nil)
		h.reopen()
		s := h.machine(secret)
		want(t, s.User(), "token:backup")
		want(t, s.Address.IsZero(), true)
		assertion, err := h.service.Sessions().Assert(t.Context(), s, site, site, nil)
		want(t, err, nil)
		want(t, claimsOf(t, assertion)["token"], any("token:backup"))
		want(t, claimsOf(t, assertion)["email"], nil)
		cut := make(chan bool, 1)
		st := &session.Stream{Session: s, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut <- true })}
		h.core.Sessions().Watch(st)
		defer h.core.Sessions().Unwatch(st)
		time.Sleep(2 * time.Second)
		want(t, len(cut), 0)
		// The token leaves the configuration, or gets another secret.
		h.config.Machines[0].Hash = session.HashMachine(secret + "2")
		newer := h.core.Use(h.config)
		defer newer.Close()
		<-cut
		gone, _, err := newer.Sessions().CheckToken(t.Context(), secret)
		want(t, err, nil)
		want(t, gone, nil)
		time.Sleep(time.Hour)
		gone, _, _ = newer.Sessions().CheckToken(t.Context(), secret+"2")
		want(t, gone, nil)
	})
	same := []session.ConfiguredMachine{{Machine: machineAt(t, "a", "x.test")}, {Machine: machineAt(t, "b", "x.test")}}
	if session.CheckMachines(same) == nil {
		t.Error("two tokens with one secret pass")
	}
	same[0].Hash, same[1].Name = session.HashMachine("1"), "a"
	if session.CheckMachines(same) == nil {
		t.Error("two tokens with one name pass")
	}
}
