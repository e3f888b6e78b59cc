package authcore_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// wire is how codes are asked for and answered in one of the formats.
type wire struct {
	h      *house
	hex    bool // as reflex: eight hexadecimal digits
	handle bool // as Link: answered with a handle
	shows  bool // the mail can lead to the code
}

// visit is somebody at a network who wants to sign in as alice.
type visit struct {
	*wire
	from   netip.Addr
	handle string
	asked  apps.Asked
}

func (w *wire) at(addr string) *visit { return &visit{wire: w, from: netip.MustParseAddr(addr)} }

func (v *visit) ask() event.Verdict {
	in := apps.Ask{
		Whom: person.Whom{Email: alice}, Create: true, Slot: "code", Deliver: true,
		Known:  apps.Terms{Digits: 6, Lifetime: 10 * time.Minute},
		Client: v.from, EndUser: !v.wire.handle,
	}
	if v.shows {
		in.Shows = "https://api.example.com/code?token="
	}
	if v.hex {
		in.Known = apps.Terms{Digits: 8, Hex: true, Lifetime: 30 * time.Minute}
		in.Deliver, in.Window = false, &apps.Window{Count: 5, Per: 30 * time.Minute}
	}
	if v.wire.handle {
		v.handle = v.h.service.Apps().Handle(v.h.caller(liveKey).Realm(), alice)
		in.Handle = v.handle
	}
	v.asked = v.h.ask(in)
	return v.asked.Verdict
}

func (v *visit) answer(code string) event.Verdict {
	p := apps.Proof{Slot: "code", Contact: alice.String(), Code: code, Client: v.from, EndUser: true, Handle: v.handle}
	if v.wire.handle {
		p.Slot, p.Contact = "", ""
	}
	return v.h.prove(p).Verdict
}

// code is what the person reads in the mail, or behind its link.
func (v *visit) code() string {
	v.h.t.Helper()
	if !v.shows {
		return v.asked.Code
	}
	synctest.Wait()
	mail := v.h.sender.last(v.h.t)
	if mail.Code != "" {
		return mail.Code
	}
	token := mail.Link[strings.IndexByte(mail.Link, '=')+1:]
	shown, err := v.h.service.Apps().Show(v.h.t.Context(), "code", token, true)
	if err != nil || shown.Verdict != event.Accepted {
		v.h.t.Fatalf("the link that shows the code: %v, %v", shown.Verdict, err)
	}
	return shown.Code
}

// signIn is a person who types so many codes wrong before the right one.
func (v *visit) signIn(typos int) {
	v.h.t.Helper()
	if got := v.ask(); got != event.Accepted {
		v.h.t.Fatalf("no code: %v", got)
	}
	code := v.code()
	for range typos {
		if got := v.answer(notThe(code)); got != event.Wrong {
			v.h.t.Fatalf("a wrong code: %v", got)
		}
	}
	if got := v.answer(code); got != event.Accepted {
		v.h.t.Fatalf("the right code: %v", got)
	}
}

// notThe is another code of the same form.
func notThe(code string) string {
	if code[0] == '1' {
		return "2" + code[1:]
	}
	return "1" + code[1:]
}

// guess gives wrong codes until none is compared any more, and tells how many were.
func (v *visit) guess(most int) (compared int) {
	code := v.asked.Code
	if code == "" {
		code = strings.Repeat("2", map[bool]int{true: 8, false: 6}[v.hex])
	}
	for range most {
		switch v.answer(notThe(code)) {
		case event.Wrong:
			compared++
		case event.Locked:
			return compared + 1
		default:
			return compared
		}
	}
	return compared
}

// forWires runs a test for each way in which codes are asked for and answered.
func forWires(t *testing.T, test func(t *testing.T, w *wire)) {
	for name, w := range map[string]wire{
		"handle": {handle: true, shows: true}, "contact": {shows: true}, "password": {hex: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, _ := newAppHouse(t)
				defer h.close()
				one := w
				one.h = h
				test(t, &one)
			})
		})
	}
}

// A stranger who guesses locks out nobody: neither where the person signed in
// before, nor where they come for the first time.
func TestGuessesOfAStrangerLockNobodyOut(t *testing.T) {
	for _, known := range []bool{false, true} {
		forWires(t, func(t *testing.T, w *wire) {
			if known {
				w.at("192.0.2.1").signIn(1)
				time.Sleep(2 * time.Minute)
			}
			for range 8 {
				stranger := w.at("203.0.113.66")
				stranger.ask()
				stranger.guess(20)
				time.Sleep(15 * time.Minute)
			}
			w.at("192.0.2.1").signIn(1)
			time.Sleep(time.Hour)
			w.at("198.51.100.1").signIn(1)
		})
	}
}

// What a stranger asks for does not take away the code that a person types, nor do
// guesses at it.
func TestAStrangersStartLeavesACodeAlone(t *testing.T) {
	forWires(t, func(t *testing.T, w *wire) {
		alices := w.at("192.0.2.1")
		want(t, alices.ask(), event.Accepted)
		code := alices.code()
		time.Sleep(2 * time.Minute)
		stranger := w.at("203.0.113.66")
		want(t, stranger.ask(), event.Accepted)
		stranger.guess(20)
		want(t, alices.answer(code), event.Accepted)
	})
	forWires(t, func(t *testing.T, w *wire) {
		alices := w.at("192.0.2.1")
		want(t, alices.ask(), event.Accepted)
		code := alices.code()
		stranger := w.at("203.0.113.66") // who asks for nothing
		stranger.guess(20)
		want(t, alices.answer(code), event.Accepted)
	})
	forWires(t, func(t *testing.T, w *wire) {
		alices := w.at("192.0.2.1")
		want(t, alices.ask(), event.Accepted)
		code := alices.code()
		time.Sleep(2 * time.Minute)
		again := *alices
		want(t, again.ask(), event.Accepted)
		if !w.handle {
			want(t, alices.answer(code), event.Wrong) // a newer one of the same network takes its place
		}
		want(t, again.answer(again.code()), event.Accepted)
	})
}

// Strangers at ten networks who ask and guess whenever they may, and a
// person who signs in once a day and mistypes every second code. The strangers' odds
// are those of the gates.
func TestOddsOfStrangers(t *testing.T) {
	forWires(t, func(t *testing.T, w *wire) {
		w.at("192.0.2.1").signIn(1)
		compared, days := 0, 30
		if os.Getenv("GATEHOUSE_PROVE") != "" {
			days = 60
		}
		for day := range days {
			time.Sleep(12 * time.Hour)
			for i := range 10 {
				stranger := w.at(fmt.Sprintf("203.0.113.%d", 1+(day+i)%250))
				if stranger.ask() == event.Accepted || !w.handle {
					compared += stranger.guess(6)
				}
				time.Sleep(time.Hour)
			}
			w.at("192.0.2.1").signIn(day % 2)
			time.Sleep(2 * time.Hour)
		}
		codes := 1e6
		if w.hex {
			codes = 1 << 32
		}
		odds := float64(compared) / codes * 365 / float64(days)
		if most := 30.0 / 1e6 * 365 / 30; compared == 0 || odds > most {
			t.Errorf("%d guesses were compared in %d days: odds of %.5f %% a year, at most %.5f %% are right", compared, days, 100*odds, 100*most)
		}
	})
}

// A person asks on one network and reads the mail on another, where a code of their
// own may be: the right one counts from there, and ends all others.
func TestTheRightCodeCountsFromAnyNetwork(t *testing.T) {
	const here, there, third = "192.0.2.1", "198.51.100.1", "203.0.113.1"
	for name, before := range map[string]func(v *visit){
		"pending": func(v *visit) { want(v.h.t, v.ask(), event.Accepted) },
		"guessed at": func(v *visit) {
			want(v.h.t, v.ask(), event.Accepted)
			want(v.h.t, v.answer(notThe(v.code())), event.Wrong)
		},
		"used": func(v *visit) { v.signIn(0) },
		"expired": func(v *visit) {
			want(v.h.t, v.ask(), event.Accepted)
			time.Sleep(time.Hour)
		},
		"nothing": func(*visit) {},
	} {
		forWires(t, func(t *testing.T, w *wire) {
			if w.handle {
				return // the handle tells which code it is
			}
			own := w.at(there)
			before(own)
			var former string
			if own.asked.Challenge != "" {
				former = own.code()
			}
			time.Sleep(2 * time.Minute)
			asked := w.at(here)
			want(t, asked.ask(), event.Accepted)
			code := asked.code()
			want(t, w.at(there).answer(notThe(code)), event.Wrong)
			if got := w.at(there).answer(code); got != event.Accepted {
				t.Fatalf("%s there: the right code: %v", name, got)
			}
			for _, from := range []string{here, there, third} {
				if got := w.at(from).answer(code); got == event.Accepted {
					t.Errorf("%s there: the code is good twice", name)
				}
				if former == "" {
					continue
				}
				if got := w.at(from).answer(former); got == event.Accepted {
					t.Errorf("%s there: the other code survived", name)
				}
			}
		})
	}
}

// What one network guesses is bounded, at codes of its own and at a person's alike,
// and no answer tells it what it may not guess any more.
func TestGuessesFromElsewhereAreBounded(t *testing.T) {
	for _, asks := range []int{0, 1, 3} {
		forWires(t, func(t *testing.T, w *wire) {
			if w.handle {
				return
			}
			alices := w.at("192.0.2.1")
			want(t, alices.ask(), event.Accepted)
			code := alices.code()
			for n := range asks {
				time.Sleep(time.Minute)
				want(t, w.at(fmt.Sprintf("203.0.113.%d", 66+n)).ask(), event.Accepted)
			}
			stranger := w.at("203.0.113.66")
			for range 20 {
				if got := stranger.answer("22222222"[:len(code)]); got == event.Accepted {
					t.Fatal("a guess was right")
				}
			}
			right, wrong := stranger.answer(code), stranger.answer(notThe(code))
			if right == event.Accepted || right != wrong {
				t.Errorf("after twenty guesses the right code is answered %v, a wrong one %v", right, wrong)
			}
			want(t, alices.answer(notThe(code)), event.Wrong)
			want(t, alices.answer(code), event.Accepted)
		})
	}
}

// Beyond what is kept for a contact, strangers take none away from a network that has
// proved it; and their own go, the oldest first.
func TestStartsWithoutEndLeaveTheCodeOfAKnownNetworkAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		h.service.Close()
		h.config.Limits.PerRecipient = []limit.Rate{{Count: 1000, Per: time.Hour}}
		h.service = h.core.Use(h.config)
		w := &wire{h: h}
		w.at("192.0.2.1").signIn(0)
		alices, first := w.at("192.0.2.1"), w.at("198.51.100.1")
		for _, v := range []*visit{first, alices} {
			want(t, v.ask(), event.Accepted)
		}
		var last *visit
		for n := range 70 {
			last = w.at(fmt.Sprintf("203.0.113.%d", n))
			want(t, last.ask(), event.Accepted)
		}
		want(t, first.answer(first.code()), event.Wrong)
		want(t, alices.answer(alices.code()), event.Accepted)
		if got := last.answer(last.code()); got == event.Accepted {
			t.Error("one proof does not end all others")
		}
	})
}

// However many networks strangers ask from, the code that waits is the person's: it
// counts where it was asked for, after typos too, and no guess from elsewhere takes
// more than half of the budget.
func TestStartsFromManyNetworksLeaveACodeAlone(t *testing.T) {
	const home = "192.0.2.1"
	ipv4 := func(n int) string { return fmt.Sprintf("203.0.113.%d", 1+n) }
	for name, test := range map[string]struct {
		known   bool // the person has signed in at home before
		own     []string
		from    func(n int) string
		guesses int // of each of ten networks that asked for nothing
		typos   int
	}{
		"strangers":                {from: ipv4},
		"known":                    {known: true, from: ipv4},
		"one host":                 {from: func(n int) string { return fmt.Sprintf("2001:db8:0:%x::1", n) }},
		"own devices":              {own: []string{"198.51.100.1"}, from: ipv4},
		"typos":                    {from: ipv4, typos: 1},
		"guesses":                  {from: ipv4, guesses: 1},
		"guesses and typos":        {from: ipv4, guesses: 3, typos: 1},
		"known, guesses and typos": {known: true, from: ipv4, guesses: 3, typos: 4},
	} {
		forWires(t, func(t *testing.T, w *wire) {
			if test.known {
				w.at(home).signIn(0)
				time.Sleep(2 * time.Hour)
			}
			alices := w.at(home)
			want(t, alices.ask(), event.Accepted)
			code := alices.code()
			for _, ip := range test.own {
				time.Sleep(time.Minute)
				want(t, w.at(ip).ask(), event.Accepted)
			}
			asked := 0
			for n := range 6 {
				time.Sleep(time.Minute)
				if w.at(test.from(n)).ask() == event.Accepted {
					asked++
				}
			}
			if asked+len(test.own) < 4 {
				t.Fatalf("%s: %d strangers got a code", name, asked)
			}
			for n := range 10 {
				w.at(fmt.Sprintf("100.64.%d.1", n)).guess(test.guesses)
			}
			for range test.typos {
				if got := alices.answer(notThe(code)); got != event.Wrong {
					t.Fatalf("%s: a wrong code: %v", name, got)
				}
			}
			if got := alices.answer(code); got != event.Accepted {
				t.Errorf("%s: the right code: %v", name, got)
			}
		})
	}
}
