package authcore_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What a sign-in reads it reads in one round trip, and in one more for each key
// that stands in a value: a store behind a network takes that long. The numbers
// are what each call asks the store for, in turns. A read that fails is an outage in
// each of them, never an answer.
func TestRoundTrips(t *testing.T) {
	trips := map[string]int{
		"begin: a new browser":                     1,
		"begin: a browser with a device cookie":    1,
		"begin: flows under way":                   2, // flows → challenges
		"begin: a live challenge":                  2,
		"form for the code":                        2, // flows → challenge
		"answer: wrong code":                       2,
		"answer: code of somebody new":             2,
		"answer: code of somebody known":           2,
		"answer: code, in place of a session":      2,
		"answer: link":                             2,
		"page of a link":                           2, // link → challenge
		"first opening of a link":                  3, // link → challenge; its history again to note it, apart: the page shows also where nothing can be written
		"resend":                                   2,
		"resend: a new challenge":                  2,
		"ask: code, by address, new":               1,
		"ask: code, by address, known":             2, // address → person
		"ask: code, by subject":                    2, // person → address, its counters
		"ask: code, with a handle":                 2,
		"ask: code, within a window":               2,
		"ask: code by text message":                3, // address → person → their number, its counters: it stands nowhere but in the person
		"ask: link with a poll token":              2,
		"invite: somebody new":                     1,
		"invite: once more":                        2, // and the invitation that waits
		"prove: code of somebody new":              2,
		"prove: code, by contact":                  2, // contact → challenge
		"prove: code, by address, of several apps": 2,
		"prove: code, by handle":                   2,
		"prove: code, whose window begins anew":    3, // slot → challenge, the window → the clients that stand in it, each of whose counts changes
		"prove: wrong code":                        2,
		"prove: link":                              2,
		"prove: link of an invitation":             2,
		"look at a link":                           2,
		"poll":                                     2,
		"poll: used":                               2,
	}
	synctest.Test(t, func(t *testing.T) {
		h, app := newAppHouse(t, &texts{name: "one"})
		counted := &counting{Store: h.store}
		h.reopenOn(counted)
		defer h.close()
		ctx := context.WithValue(t.Context(), countedCall{}, true)
		// count tells how often call reads, and lets the limits forget it.
		count := func(name string, wanted event.Verdict, call func() (event.Verdict, error)) {
			t.Helper()
			synctest.Wait()
			var v event.Verdict
			var err error
			for n := 1; ; n++ { // the n-th read fails, until all are done
				counted.reset()
				counted.fails = n
				if v, err = call(); counted.fails > 0 {
					break
				}
				written := name == "first opening of a link" && n > 2 // behind the answer
				if !errors.Is(err, errAway) && !written {
					t.Errorf("%s: its read %d fails, and it says %v, %v", name, n, v, err)
				}
			}
			if err != nil || v != wanted {
				t.Errorf("%s: %v, %v", name, v, err)
			}
			want, ok := trips[name]
			if got := len(counted.reads); !ok || got != want {
				t.Errorf("%s: %d reads, want %d\n\t%s", name, got, want, strings.Join(counted.reads, "\n\t"))
			}
			delete(trips, name)
			time.Sleep(2 * time.Minute)
		}

		begin := func(name string, b *tab, a address.Address) {
			t.Helper()
			count(name, event.Accepted, func() (event.Verdict, error) {
				out, err := h.service.Flows().Begin(ctx, b.Browser, authcore.Start{Address: a})
				if err == nil {
					b.Flow = out.FlowCookie
				}
				return out.Verdict, err
			})
		}
		answer := func(name string, wanted event.Verdict, b *tab, do func() (authcore.Answer, error)) {
			t.Helper()
			count(name, wanted, func() (event.Verdict, error) {
				out, err := do()
				if err != nil {
					return out.Verdict, err
				}
				return b.took(out, nil).Verdict, nil
			})
		}
		code := func(name string, wanted event.Verdict, b *tab, text string) {
			t.Helper()
			answer(name, wanted, b, func() (authcore.Answer, error) { return h.service.Flows().AnswerCode(ctx, b.Browser, "", text) })
		}
		b := h.browser()
		begin("begin: a new browser", b, alice)
		mail := h.sender.last(t)
		count("form for the code", event.Accepted, func() (event.Verdict, error) {
			flow, err := h.service.Flows().Flow(ctx, b.Browser, "")
			if flow == nil {
				return event.NoFlow, err
			}
			return flow.State, err
		})
		code("answer: wrong code", event.Wrong, b, wrong(mail.Code))
		begin("begin: a live challenge", b, alice)
		begin("begin: flows under way", b, mustAddress("second@example.com"))
		b = h.browser()
		b.begin(alice)
		code("answer: code of somebody new", event.Accepted, b, h.sender.code(t))
		begin("begin: a browser with a device cookie", &tab{h, session.Browser{Origin: site, Client: b.Client, Device: b.Device}}, alice)
		b.begin(alice)
		code("answer: code, in place of a session", event.Accepted, b, h.sender.code(t))
		time.Sleep(time.Hour)
		b = h.browser()
		b.begin(alice)
		code("answer: code of somebody known", event.Accepted, b, h.sender.code(t))
		b.begin(alice)
		token := tokenOf(h.sender.last(t))
		look := func() (event.Verdict, error) {
			view, err := h.service.Flows().Link(ctx, b.Browser, token)
			return view.Verdict, err
		}
		count("first opening of a link", event.Accepted, look)
		count("page of a link", event.Accepted, look)
		answer("resend", event.Accepted, b, func() (authcore.Answer, error) { return h.service.Flows().Resend(ctx, b.Browser, "") })
		answer("answer: link", event.Accepted, b, func() (authcore.Answer, error) { return h.service.Flows().AnswerLink(ctx, b.Browser, token) })
		b = h.browser()
		b.begin(mustAddress("slow@example.com"))
		time.Sleep(11 * time.Minute)
		answer("resend: a new challenge", event.Accepted, b, func() (authcore.Answer, error) { return h.service.Flows().Resend(ctx, b.Browser, "") })

		var asked apps.Asked
		ask := func(name string, in apps.Ask) {
			t.Helper()
			in.Caller, in.Origin, in.Repeat = h.caller(liveKey), site, nil
			count(name, event.Accepted, func() (v event.Verdict, err error) {
				asked, err = h.service.Apps().Ask(ctx, in)
				return asked.Verdict, err
			})
		}
		prove := func(name string, wanted event.Verdict, p apps.Proof) {
			t.Helper()
			if len(p.Among) == 0 {
				p.Caller = h.caller(liveKey)
			}
			p.Origin = site
			count(name, wanted, func() (event.Verdict, error) {
				out, err := h.service.Apps().Prove(ctx, p)
				return out.Verdict, err
			})
		}
		carol := mustAddress("carol@example.com")
		ask("ask: code, by address, new", CodeFor(carol))
		prove("prove: wrong code", event.Wrong, apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: wrong(asked.Code)})
		prove("prove: code of somebody new", event.Accepted, apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: asked.Code, Session: week})
		ask("ask: code, by address, known", CodeFor(carol))
		prove("prove: code, by address, of several apps", event.Accepted, apps.Proof{
			Among: []apps.Caller{h.caller(testKey), h.caller(liveKey)}, Slot: "code", Contact: carol.String(), Code: asked.Code,
		})
		bySubject := CodeFor(carol)
		bySubject.Whom = person.Whom{Subject: asked.Person.Subject}
		ask("ask: code, by subject", bySubject)
		prove("prove: code, by contact", event.Accepted, apps.Proof{Slot: "code", Contact: asked.Contact.ID, Code: asked.Code, Session: week})
		withHandle := CodeFor(carol)
		withHandle.Handle = h.service.Apps().Handle(livePeople, carol)
		ask("ask: code, with a handle", withHandle)
		prove("prove: code, by handle", event.Accepted, apps.Proof{Handle: withHandle.Handle, Code: asked.Code})
		windowed := CodeFor(carol)
		windowed.Window, windowed.Client = &apps.Window{Count: 3, Per: 10 * time.Minute}, h.browser().Client
		ask("ask: code, within a window", windowed)
		prove("prove: code, whose window begins anew", event.Accepted, apps.Proof{Slot: "code", Contact: carol.String(), Code: asked.Code, Forget: true, Session: week})
		time.Sleep(time.Hour)
		link := linkFor(carol)
		link.Poll = true
		ask("ask: link with a poll token", link)
		poll := func() (event.Verdict, error) {
			out, err := h.service.Apps().Poll(ctx, apps.Poll{Caller: h.caller(liveKey), Contact: asked.Contact.ID, Token: asked.PollToken, Session: *week, Origin: site})
			return out.Verdict, err
		}
		count("poll", event.NotYet, poll)
		count("look at a link", event.Accepted, func() (event.Verdict, error) {
			out, err := h.service.Apps().Look(ctx, h.caller(liveKey), "link", asked.Token)
			return out.Verdict, err
		})
		prove("prove: link", event.Accepted, apps.Proof{Slot: "link", Token: asked.Token})
		count("poll: used", event.Accepted, poll)

		number, err := address.ParsePhone("+15005550006")
		want(t, err, nil)
		_, v, err := h.service.Apps().UpdatePerson(t.Context(), livePeople, person.Whom{Email: carol}, person.Draft{Phones: []address.Phone{number}})
		want(t, err, nil)
		want(t, v, event.Accepted)
		text := CodeFor(carol)
		text.PreferText = true
		ask("ask: code by text message", text)
		owner := asked.Person.Subject
		org, v, err := h.service.Organizations().Create(t.Context(), organization.Wish{Realm: livePeople, Owner: owner, Name: "Acme", Plan: app.FirstPlan()})
		want(t, err, nil)
		want(t, v, event.Accepted)
		for _, name := range []string{"invite: somebody new", "invite: once more"} {
			in := linkFor(mustAddress("dan@example.com"))
			in.Caller, in.Origin = h.caller(liveKey), site
			count(name, event.Accepted, func() (v event.Verdict, err error) {
				_, asked, err = h.service.Apps().SendInvite(ctx, in, org.ID, owner, organization.Member)
				return asked.Verdict, err
			})
		}
		prove("prove: link of an invitation", event.Accepted, apps.Proof{Slot: "link", Token: asked.Token})
		for name := range trips {
			t.Errorf("%s: not counted", name)
		}
	})
}

// countedCall marks the context of a call whose reads are counted: not those of
// the work beside requests.
type countedCall struct{}

// A wrong code costs the same for whom none can be answered as for whom one can:
// the time it takes told a stranger that somebody was signing in.
func TestAWrongCodeTellsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		counted := &counting{Store: h.store}
		h.reopenOn(counted)
		defer h.close()
		h.config.Limits.Failures = []limit.Rate{{Count: 7, Per: time.Hour}}
		h.service.Close()
		h.service = h.core.Use(h.config)
		ask := func(a address.Address) {
			h.ask(apps.Ask{Whom: person.Whom{Email: a}, Create: true, Slot: "page", Known: apps.Terms{Digits: 8, Hex: true, Lifetime: time.Minute}})
		}
		var stranger netip.Addr // who answers, if it is not the app's server
		cost := func(a address.Address, code string, want event.Verdict) [2]int {
			t.Helper()
			synctest.Wait()
			counted.reset()
			out, err := h.service.Apps().Prove(context.WithValue(t.Context(), countedCall{}, true), apps.Proof{
				Caller: h.caller(liveKey), Contact: a.String(), Slot: "page", Code: code, Digits: 8, Hex: true,
				EndUser: stranger.IsValid(), Client: stranger,
			})
			if err != nil || out.Verdict != want {
				t.Fatalf("%v: %v, %v", a, out.Verdict, err)
			}
			return [2]int{len(counted.reads), counted.puts}
		}
		ask(alice)
		wrong := cost(alice, "00000000", event.Wrong)
		if wrong[1] == 0 {
			t.Error("a wrong code is not counted")
		}
		late, locked, off := mustAddress("late@example.com"), mustAddress("locked@example.com"), mustAddress("off@example.com")
		ask(late)
		time.Sleep(2 * time.Minute)
		for _, a := range []address.Address{locked, off} {
			ask(a)
			for range 4 {
				cost(a, "00000000", event.Wrong)
			}
			cost(a, "00000000", event.Locked)
		}
		ask(off)
		cost(off, "00000000", event.Wrong)
		cost(off, "00000000", event.Locked)
		for a, v := range map[address.Address]event.Verdict{mustAddress("nobody@example.com"): event.Unknown, late: event.Expired, locked: event.Locked, off: event.Locked} {
			if got := cost(a, "00000000", v); got != wrong {
				t.Errorf("%v: a wrong code takes %v reads and puts, for whom it can be answered %v", a, got, wrong)
			}
		}
		for _, a := range []address.Address{alice, mustAddress("nobody@example.com"), late, locked, off} {
			for _, code := range []string{"0000000G", "0000000", "000000000", "", "00 00 00 00"} {
				if got := cost(a, code, event.Malformed); got != [2]int{} {
					t.Errorf("%v: what is no code takes %v reads and puts", a, got)
				}
			}
		}
		// A stranger guesses at what a server had sent that names no network, or a page.
		stranger = netip.MustParseAddr("198.51.100.7")
		nobody := cost(mustAddress("nobody@example.com"), "00000000", event.Unknown)
		for from, a := range map[string]address.Address{"": mustAddress("server@example.com"), "203.0.113.1": mustAddress("page@example.com")} {
			in := apps.Ask{Whom: person.Whom{Email: a}, Create: true, Slot: "page", Known: apps.Terms{Digits: 8, Hex: true, Lifetime: time.Minute}}
			if from != "" {
				in.EndUser, in.Client = true, netip.MustParseAddr(from)
			}
			h.ask(in)
			if got := cost(a, "00000000", event.Wrong); got != nobody {
				t.Errorf("%v: a wrong code takes %v reads and puts, for nobody %v", a, got, nobody)
			}
		}
	})
}

// counting is a store that counts what costs a store behind a network a round
// trip: reads in a transaction, and updates that write.
type counting struct {
	store.Store
	mu      sync.Mutex
	reads   []string // the keys of each Get of a countedCall, since the last reset
	puts    int      // what a countedCall put since then
	updates int
	fails   int // which Get of a countedCall fails, counted down; 0: none
}

var errAway = errors.New("the store is away")

func (c *counting) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads, c.puts, c.updates, c.fails = nil, 0, 0, 0
}

// failure is that of a Get.
func (c *counting) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails == 0 {
		return nil
	}
	if c.fails--; c.fails > 0 {
		return nil
	}
	return errAway
}

func (c *counting) View(ctx context.Context, fn func(store.Tx) error) error {
	tx := &countingTx{}
	err := c.Store.View(ctx, func(inner store.Tx) error {
		*tx = countingTx{Tx: inner, failure: c.failureOf(ctx)}
		return fn(tx)
	})
	c.add(ctx, tx)
	return err
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	tx := &countingTx{}
	err := c.Store.Update(ctx, func(inner store.Tx) error { // of several runs the last one counts
		*tx = countingTx{Tx: inner, put: map[string]bool{}, failure: c.failureOf(ctx)}
		return fn(tx)
	})
	c.add(ctx, tx)
	return err
}

func (c *counting) failureOf(ctx context.Context) func() error {
	if ctx.Value(countedCall{}) != nil {
		return c.failure
	}
	return func() error { return nil }
}

func (c *counting) add(ctx context.Context, tx *countingTx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Value(countedCall{}) != nil {
		c.reads = append(c.reads, tx.reads...)
		c.puts += len(tx.put)
	}
	if len(tx.put) > 0 {
		c.updates++
	}
}

type countingTx struct {
	store.Tx
	reads   []string
	put     map[string]bool // in an update
	failure func() error    // of a Get
}

// Get counts, but for keys that the transaction has put: those are in its hands.
func (tx *countingTx) Get(keys ...string) ([][]byte, error) {
	asked := ""
	for _, key := range keys {
		if !tx.put[key] {
			asked += " " + key
		}
	}
	if asked != "" {
		if err := tx.failure(); err != nil {
			return nil, err
		}
		tx.reads = append(tx.reads, asked[1:])
	}
	return tx.Tx.Get(keys...)
}

func (tx *countingTx) Put(key string, value []byte, expires time.Time) {
	tx.put[key] = true
	tx.Tx.Put(key, value, expires)
}

func (tx *countingTx) Delete(key string) {
	tx.put[key] = true
	tx.Tx.Delete(key)
}
