package authcore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore"
	"github.com/gatehouse-auth/gatehouse/authcore/pgstore/pgtest"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/storetest"
)

// newNode is a house that shares its store, in a database, with others.
func newNode(t testing.TB, dsn string) *house { return newNodeWith(t, dsn, pgstore.Options{}) }

func newNodeWith(t testing.TB, dsn string, o pgstore.Options, changes ...func(*house)) *house {
	engine, err := pgstore.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	h.mu.Lock()
	h.clock = engine.Now
	h.mu.Unlock()
	for _, change := range changes {
		change(h)
	}
	h.reopenOn(engine)
	t.Cleanup(func() {
		h.close()
		engine.Close()
	})
	return h
}

// soon waits for what other nodes bring about within two seconds; a busy machine is
// given more.
func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	within(t, 10*time.Second, what, is)
}

func within(t testing.TB, d time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// waitMail waits for the n-th mail of a node and returns it.
func (h *house) waitMail(n int) outbox.Message {
	h.t.Helper()
	within(h.t, 20*time.Second, "a mail", func() bool { return h.sender.count() >= n })
	h.sender.mu.Lock()
	defer h.sender.mu.Unlock()
	return h.sender.sent[n-1]
}

// at is the same browser at another node.
func (b *tab) atNode(h *house) *tab { return &tab{h, b.Browser} }

// A sign-in begins at one node and ends at another; what ends at one has ended at all.
func TestTwoNodes(t *testing.T) {
	dsn := pgtest.Database(t)
	one, two := newNode(t, dsn), newNode(t, dsn)
	live := func(h *house, token string) bool {
		found, err := h.service.Sessions().Check(t.Context(), token, site)
		if err != nil {
			t.Error(err)
		}
		return found != nil
	}
	b := one.browser()
	want(t, b.begin(alice).Verdict, event.Accepted)
	mail := one.waitMail(1)
	if again := two.browser().begin(alice); again.Verdict != event.Limited {
		t.Errorf("a second start for the address at the other node: %v", again.Verdict)
	}
	c := b.atNode(two)
	want(t, c.answer(wrong(mail.Code)).Verdict, event.Wrong)
	want(t, b.answer(wrong(mail.Code)).TriesLeft, 3)
	in := c.answer(mail.Code)
	want(t, in.Verdict, event.Accepted)
	want(t, b.answer(mail.Code).Verdict, event.Used)
	token := in.SignIn.Token
	soon(t, "the session counts at both nodes", func() bool { return live(one, token) && live(two, token) })

	found, err := one.service.Sessions().Check(t.Context(), token, site)
	if err != nil || found == nil {
		t.Fatal(err)
	}
	cut := make(chan bool, 1)
	st := &session.Stream{Session: found, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { cut <- true })}
	one.core.Sessions().Watch(st)
	defer one.core.Sessions().Unwatch(st)
	// Who passed without a session is met by each ending that is heard of, and goes on.
	trusted := &session.Stream{Client: b.Client, Target: session.Target{Origin: site}, Cutter: cutFunc(func() { t.Error("an ending cut who has no session") })}
	one.core.Sessions().Watch(trusted)
	defer one.core.Sessions().Unwatch(trusted)
	began := time.Now()
	if ended, err := two.core.Sessions().End(t.Context(), in.SignIn.Session.ID, session.SignedOut); err != nil || !ended {
		t.Fatal(ended, err)
	}
	soon(t, "an ending at one node is one at the other", func() bool { return !live(one, token) })
	select {
	case <-cut:
	case <-time.After(5 * time.Second):
		t.Error("the answer under way at the other node is not cut")
	}
	t.Logf("the ending took %v", time.Since(began))

	// Who signs in again at one node leaves nothing at the other.
	device := c.Device
	d := &tab{one, session.Browser{Origin: site, Client: b.Client, Device: device}}
	want(t, d.begin(alice).Verdict, event.Accepted)
	again := d.answer(one.waitMail(2).Code)
	want(t, again.Verdict, event.Accepted)
	soon(t, "the new session counts at the other node", func() bool { return live(two, again.SignIn.Token) })

	// New keys are known everywhere, and old ones that were revoked nowhere.
	if _, err := two.core.Keys().Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	soon(t, "the new key is known", func() bool { return len(one.core.Keys().Status()) == len(two.core.Keys().Status()) })
	if _, err := two.core.Keys().Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	soon(t, "revoked keys verify nothing", func() bool { return !live(one, again.SignIn.Token) })
}

// A key that one node has just made is good at every other at once: who is signed in
// with it must not be asked again.
func TestNewKeysAreGoodEverywhereAtOnce(t *testing.T) {
	dsn := pgtest.Database(t)
	one, two := newNode(t, dsn), newNode(t, dsn)
	for i := range 3 {
		if _, err := one.core.Keys().Rotate(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		b := one.browser()
		want(t, b.begin(mustAddress(fmt.Sprintf("p%d@example.com", i))).Verdict, event.Accepted)
		in := b.answer(one.waitMail(i + 1).Code)
		want(t, in.Verdict, event.Accepted)
		found, err := two.service.Sessions().Check(t.Context(), in.SignIn.Token, site)
		if err != nil || found == nil {
			t.Errorf("refused at the other node: %v, %v", found, err)
		}
	}
	// Whoever makes up tokens has the store read now and then, and is refused.
	began := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"gatehouse-session+jwt","kid":"` + keyring.RandomToken(32) + `"}`))
			if found, err := two.service.Sessions().Check(t.Context(), header+".e30."+keyring.RandomToken(64), site); found != nil || err != nil {
				t.Errorf("%v, %v", found, err)
			}
		})
	}
	all.Wait()
	t.Logf("20 at once took %v", time.Since(began))
}

// A new secret is given to one node after another: first beside the old one, then in
// front of it. No node undoes what another has done.
func TestSecretsChangeNodeByNode(t *testing.T) {
	dsn := pgtest.Database(t)
	old, next := secretOf(t, 'a'), secretOf(t, 'b')
	with := func(current, other keyring.Secret) func(*house) {
		return func(h *house) { h.secrets = keyring.Secrets{Current: current, Old: []keyring.Secret{other}} }
	}
	one := newNodeWith(t, dsn, pgstore.Options{}, with(old, next))
	two := newNodeWith(t, dsn, pgstore.Options{}, with(next, old))
	wrapped := func() []string {
		return pgtest.Rows(t, dsn, "SELECT key, value->>'secret' FROM gatehouse_record WHERE key LIKE 'key/%' ORDER BY key")
	}
	before := wrapped()
	for _, h := range []*house{one, two, one} {
		if err := h.core.Keys().Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := wrapped(); !slices.Equal(before, after) || !strings.HasSuffix(before[0], next.ID()) {
		t.Errorf("keys are wrapped as %q, then as %q", before, after)
	}
	b := one.browser()
	want(t, b.begin(alice).Verdict, event.Accepted)
	want(t, b.atNode(two).answer(one.waitMail(1).Code).Verdict, event.Accepted)
}

// Three nodes send no more mails than one, whoever asks where.
func TestLimitsAreOneForAllNodes(t *testing.T) {
	dsn := pgtest.Database(t)
	var nodes [3]*house
	for i := range nodes {
		nodes[i] = newNodeWith(t, dsn, pgstore.Options{}, func(h *house) {
			h.config.Limits.Global = []limit.Rate{{Count: 6, Per: time.Hour}} // a fifth of it is for browsers that are known
			h.config.Limits.PerClient = []limit.Rate{{Count: 4, Per: time.Hour}}
		})
	}
	var asking sync.WaitGroup
	var limited atomic.Int64
	for i := range 18 {
		asking.Go(func() {
			b := nodes[i%3].browser()
			b.Client = netip.AddrFrom4([4]byte{192, 0, byte(2 + i%9), 1}) // each network twice
			if i >= 9 {
				b.Client = netip.AddrFrom4([4]byte{198, 51, 100, 7})
			}
			if b.begin(mustAddress(fmt.Sprintf("p%d@example.com", i))).Verdict == event.Limited {
				limited.Add(1)
			}
		})
	}
	asking.Wait()
	if n := limited.Load(); n != 5 {
		t.Errorf("of 9 starts from one client %d were refused, want 5", n)
	}
	sent := func() (n int) {
		for _, h := range nodes {
			n += h.sender.count()
		}
		return n
	}
	within(t, 20*time.Second, "five mails", func() bool { return sent() >= 5 })
	if n := sent(); n != 5 {
		t.Errorf("%d mails were sent, want 5", n)
	}
}

// A node whose clock is five minutes off works like any other.
func TestNodesWithClocksApart(t *testing.T) {
	dsn := pgtest.Database(t)
	good := newNode(t, dsn)
	for i, off := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		bad := newNodeWith(t, dsn, pgstore.Options{Clock: func() time.Time { return time.Now().Add(off) }})
		for j, at := range [][2]*house{{good, bad}, {bad, good}} {
			before := at[0].sender.count()
			b := at[0].browser()
			want(t, b.begin(mustAddress(fmt.Sprintf("p%d%d@example.com", i, j))).Verdict, event.Accepted)
			in := b.atNode(at[1]).answer(at[0].waitMail(before + 1).Code)
			want(t, in.Verdict, event.Accepted)
			for _, h := range at {
				if found, err := h.service.Sessions().Check(t.Context(), in.SignIn.Token, site); err != nil || found == nil {
					t.Errorf("clock %v off: %v, %v", off, found, err)
				}
			}
		}
	}
}

// A node that can't read lets those pass whom it has read within the last minute, then
// refuses all that it can't check, and says so.
func TestABlindNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		shared := &storetest.Away{Store: h.store}
		h.reopenOn(shared)
		defer h.close()
		in := h.browser().signIn(alice)
		passes := func() error {
			found, err := h.service.Sessions().Check(t.Context(), in.Token, site)
			if err == nil && found == nil {
				t.Fatal("an outage is taken for the end of a session")
			}
			return err
		}
		want(t, passes(), nil)
		shared.Be(true)
		time.Sleep(50 * time.Second)
		want(t, passes(), nil)
		time.Sleep(15 * time.Second)
		if passes() == nil || h.core.Ping(t.Context()) == nil || !h.core.Status().Blind {
			t.Errorf("blind for 65 s: a check %v, health %v, %+v", passes(), h.core.Ping(t.Context()), h.core.Status().Blind)
		}
		shared.Be(false)
		time.Sleep(2 * time.Second)
		want(t, passes(), nil)
		want(t, h.core.Ping(t.Context()), nil)
		want(t, h.core.Status().Blind, false)
	})
}

// What can't be read is no "no": whether another node has made the key that a token is
// signed with, and what a token stands for.
func TestWhatCantBeReadIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newHouse(t), newHouse(t)
		one.reopenOn(&storetest.Away{Store: one.store})
		defer one.close()
		shared := &storetest.Away{Store: one.store}
		two.reopenOn(shared)
		defer two.close()
		ctx := t.Context()
		old := one.browser().signIn(alice)
		machine, _, _ := one.makeToken(old.Session, machineAt(t, "backup", "app.example.com"), time.Hour)
		sessions, flows := two.service.Sessions(), two.service.Flows()
		if found, over, err := sessions.CheckToken(ctx, machine); found == nil || over || err != nil {
			t.Fatal(found, over, err)
		}
		carol := mustAddress("carol@example.com")
		b := two.browser()
		b.begin(carol)
		mail := two.sender.last(t)
		if _, err := one.core.Keys().Rotate(ctx, false); err != nil {
			t.Fatal(err)
		}
		in := one.browser().signIn(mustAddress("bob@example.com"))
		b.Held = []string{in.Token}
		calls := []struct {
			name string
			ask  func() (refused bool, err error)
		}{
			{"a check", func() (bool, error) { s, err := sessions.Check(ctx, in.Token, site); return s == nil, err }},
			{"a check of several", func() (bool, error) {
				s, err := sessions.Find(ctx, []string{"none", in.Token}, site)
				return s == nil, err
			}},
			{"what a sign-out ends", func() (bool, error) {
				held, err := two.core.Sessions().Held(ctx, []string{in.Token})
				return len(held) == 0, err
			}},
			{"why one has ended", func() (bool, error) {
				_, err := two.core.Sessions().EndedBy(ctx, []string{in.Token})
				return false, err
			}},
			{"a code, in place of what the browser holds", func() (bool, error) {
				out, err := flows.AnswerCode(ctx, b.Browser, "", mail.Code)
				return out.Verdict != event.Accepted, err
			}},
		}
		shared.Be(true)
		for _, call := range calls {
			if refused, err := call.ask(); err == nil {
				t.Errorf("%s: an outage is none (refused: %v)", call.name, refused)
			}
		}
		// A machine token goes on as long as a cookie does.
		time.Sleep(50 * time.Second)
		if found, over, err := sessions.CheckToken(ctx, machine); found == nil || over || err != nil {
			t.Errorf("blind for 50 s: %v, %v, %v", found, over, err)
		}
		time.Sleep(15 * time.Second)
		if found, over, err := sessions.CheckToken(ctx, machine); found != nil || err == nil {
			t.Errorf("blind for 65 s: %v, %v, %v", found, over, err)
		}
		shared.Be(false)
		for _, call := range calls {
			if refused, err := call.ask(); refused || err != nil {
				t.Errorf("%s, once it can be read: refused: %v, %v", call.name, refused, err)
			}
		}
		if found, over, err := sessions.CheckToken(ctx, machine); found == nil || over || err != nil {
			t.Errorf("once it can be read: %v, %v, %v", found, over, err)
		}
	})
}

// Nor is what another node has made with a secret that this one has not: the node says so,
// refuses none of it, counts nothing, and hears all else. Only what is in the store makes
// it so, whatever is shown to it.
func TestWhatNoSecretOpensIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, _ := newAppHouse(t)
		two, _ := newAppHouse(t)
		two.secrets = keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{one.secrets.Current}}
		ctx, log := t.Context(), &lockedText{}
		one.logger = slog.New(slog.NewTextHandler(log, nil))
		one.reopenOn(&storetest.Away{Store: one.store})
		two.reopenOn(&storetest.Away{Store: one.store})
		defer one.close()
		defer two.close()
		before := one.browser().signIn(mustAddress("carol@example.com"))
		b := two.browser()
		b.begin(alice)
		mail := two.sender.last(t)
		dave := mustAddress("dave@example.com")
		two.ask(CodeFor(dave))
		texted := two.sender.last(t)
		if _, err := two.core.Keys().Rotate(ctx, false); err != nil {
			t.Fatal(err)
		}
		in := two.browser().signIn(mustAddress("bob@example.com"))
		if err := one.core.Keys().Reload(ctx); err != nil {
			t.Errorf("a node that can't open one key hears nothing more: %v", err)
		}
		for name, ask := range map[string]func() error{
			"a check":               func() error { _, err := one.service.Sessions().Check(ctx, in.Token, site); return err },
			"what is signed out of": func() error { _, err := one.core.Sessions().Held(ctx, []string{in.Token}); return err },
			"the right code":        func() error { _, err := one.service.Flows().AnswerCode(ctx, b.Browser, "", mail.Code); return err },
			"a wrong code": func() error {
				_, err := one.service.Flows().AnswerCode(ctx, b.Browser, "", wrong(mail.Code))
				return err
			},
			"a code of an app": func() error {
				_, err := one.service.Apps().Prove(ctx, apps.Proof{Caller: one.caller(liveKey), Slot: "code", Contact: dave.String(), Code: wrong(texted.Code), Origin: site})
				return err
			},
			"the health": func() error { return one.core.Ping(ctx) },
			"a new key": func() error {
				one.setClock(100 * 24 * time.Hour)
				defer one.setClock(0)
				return one.core.Keys().RotateIfDue(ctx)
			},
		} {
			for range 9 { // more often than a wrong code may be given
				if err := ask(); !errors.Is(err, keyring.ErrWrongSecret) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		// What was made with a secret that both have goes on, and what nobody has made is
		// refused.
		if s, err := one.service.Sessions().Check(ctx, before.Token, site); s == nil || err != nil {
			t.Errorf("an older session: %v, %v", s, err)
		}
		stranger := newHouse(t)
		defer stranger.close()
		if s, err := one.service.Sessions().Check(ctx, stranger.browser().signIn(alice).Token, site); s != nil || err != nil {
			t.Errorf("a token of nobody's: %v, %v", s, err)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "secret lines") {
			t.Errorf("the log: %s", log)
		}
		want(t, b.atNode(two).answer(mail.Code).Verdict, event.Accepted)
		want(t, two.prove(apps.Proof{Slot: "code", Contact: dave.String(), Code: texted.Code}).Verdict, event.Accepted)
		// Keys that have become known are gone, whoever can open them.
		if _, err := one.core.Keys().Rotate(ctx, true); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(one.core.Ping(ctx), two.core.Keys().Reload(ctx)); err != nil {
			t.Error(err)
		}
		if s, err := one.service.Sessions().Check(ctx, in.Token, site); s != nil || err != nil {
			t.Errorf("revoked: %v, %v", s, err)
		}
		if left := two.core.Keys().AllPublic().Keys; len(left) != 1 {
			t.Errorf("keys that are left: %d, want 1", len(left))
		}
	})
}

// lockedText is text that several write.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Guesses at a code are counted beside one that a node can't open: whoever asks for one at
// another node would have as many as they like.
func TestGuessesBesideWhatNoSecretOpens(t *testing.T) {
	for _, first := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			one, _ := newAppHouse(t)
			two, _ := newAppHouse(t)
			two.secrets = keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{one.secrets.Current}}
			one.reopenOn(&storetest.Away{Store: one.store})
			two.reopenOn(&storetest.Away{Store: one.store})
			defer one.close()
			defer two.close()
			asks := []*visit{(&wire{h: one, hex: true}).at("192.0.2.1"), (&wire{h: two, hex: true}).at("192.0.3.1")}
			for i := range asks {
				want(t, asks[(first+i)%2].ask(), event.Accepted)
				time.Sleep(time.Minute)
			}
			verdicts := map[event.Verdict]int{}
			guess := (&wire{h: one, hex: true}).at("198.51.100.7")
			for i := range 40 {
				verdicts[guess.answer(fmt.Sprintf("%08X", i))]++
			}
			if n := verdicts[event.Wrong]; n == 0 || n > 10 {
				t.Errorf("guesses that were compared: %v", verdicts)
			}
		})
	}
}

// What a database is asked for, in round trips: a check of a session none, a start and
// an answer two, an ending one.
func TestRoundTripsToADatabase(t *testing.T) {
	var trips atomic.Int64
	dsn := pgtest.Database(t)
	h := newNodeWith(t, dsn, pgstore.Options{Trip: func(ctx context.Context) {
		if ctx.Value(countedCall{}) != nil {
			trips.Add(1)
		}
	}})
	h.config.Limits.PerRecipient = nil
	h.config.Limits.Global = []limit.Rate{{Count: 99, Per: time.Minute}} // too few to be counted ahead beside a start, which would run again
	h.reload()
	ctx := context.WithValue(t.Context(), countedCall{}, true)
	takes := func(name string, want int64, call func() error) {
		t.Helper()
		trips.Store(0)
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := trips.Load(); got != want {
			t.Errorf("%s takes %d round trips, want %d", name, got, want)
		}
	}
	is := func(v, want event.Verdict, err error) error {
		if err == nil && v != want {
			err = fmt.Errorf("%v, want %v", v, want)
		}
		return err
	}
	mails := 0
	begin := func(name string, b *tab, a address.Address) (mail outbox.Message) {
		t.Helper()
		takes(name, 2, func() error {
			out, err := h.service.Flows().Begin(ctx, b.Browser, authcore.Start{Address: a})
			b.Flow = out.FlowCookie
			return is(out.Verdict, event.Accepted, err)
		})
		mails++
		mail = h.waitMail(mails)
		soon(t, "it is written down that the mail was taken", func() bool { return len(pgtest.Rows(t, dsn, waitingMail)) == 0 })
		return mail
	}
	answer := func(name string, b *tab, code string, want event.Verdict) (out authcore.Answer) {
		t.Helper()
		takes(name, 2, func() (err error) {
			out, err = h.service.Flows().AnswerCode(ctx, b.Browser, "", code)
			return is(b.took(out, err).Verdict, want, err)
		})
		return out
	}
	b := h.browser()
	mail := begin("a start", b, alice)
	takes("the page for the code", 1, func() error { _, err := h.service.Flows().Flow(ctx, b.Browser, ""); return err })
	answer("a wrong code", b, wrong(mail.Code), event.Wrong)
	in := answer("a code", b, mail.Code, event.Accepted)
	check := func(name string, want int64, token string) {
		t.Helper()
		takes(name, want, func() error {
			found, err := h.service.Sessions().Check(ctx, token, site)
			if err == nil && found == nil {
				err = errors.New("refused")
			}
			return err
		})
	}
	check("a check", 0, in.SignIn.Token)
	h.reopen()
	check("the first check of a process", 1, in.SignIn.Token)
	check("the second", 0, in.SignIn.Token)
	mail = begin("a start of a known browser", b, alice)
	in = answer("a code, in place of a session", b, mail.Code, event.Accepted)
	begin("a start beside others", b, mustAddress("carol@example.com"))
	mail = begin("one more", b, alice)
	takes("a link", 2, func() error {
		out, err := h.service.Flows().AnswerLink(ctx, b.Browser, tokenOf(mail))
		in = b.took(out, err)
		return is(out.Verdict, event.Accepted, err)
	})
	takes("an ending", 1, func() error {
		ended, err := h.core.Sessions().End(ctx, in.SignIn.Session.ID, session.SignedOut)
		if err == nil && !ended {
			err = errors.New("there was none")
		}
		return err
	})
	takes("another wish for the mail", 2, func() error {
		out, err := h.service.Flows().Resend(ctx, b.Browser, "")
		return is(out.Verdict, event.Accepted, err)
	})
}

// The same of an app's calls.
func TestRoundTripsOfAppsToADatabase(t *testing.T) {
	var trips atomic.Int64
	engine, err := pgstore.Open(t.Context(), pgtest.Database(t), pgstore.Options{Trip: func(ctx context.Context) {
		if ctx.Value(countedCall{}) != nil {
			trips.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := newAppHouse(t)
	t.Cleanup(func() {
		h.close()
		engine.Close()
	})
	h.mu.Lock()
	h.clock = engine.Now
	h.mu.Unlock()
	h.config.Limits.PerRecipient = nil
	h.config.Limits.Global = []limit.Rate{{Count: 99, Per: time.Minute}}
	h.reopenOn(engine)
	ctx := context.WithValue(t.Context(), countedCall{}, true)
	takes := func(name string, want int64, wanted event.Verdict, call func() (event.Verdict, error)) {
		t.Helper()
		h.reopenOn(engine) // with nothing in memory
		trips.Store(0)
		if v, err := call(); err != nil || v != wanted {
			t.Fatalf("%s: %v, %v", name, v, err)
		}
		if got := trips.Load(); got != want {
			t.Errorf("%s takes %d round trips, want %d", name, got, want)
		}
	}
	home, away := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("198.51.100.7")
	for _, hex := range []bool{false, true} {
		name, carol := fmt.Sprintf("hex %v: ", hex), mustAddress(fmt.Sprintf("carol%v@example.com", hex))
		var asked apps.Asked
		ask := func(what string, trips int64) {
			t.Helper()
			takes(name+what, trips, event.Accepted, func() (event.Verdict, error) {
				in := apps.Ask{Caller: h.caller(liveKey), Origin: site, Whom: person.Whom{Email: carol}, Create: true, Slot: "page", EndUser: true, Client: home,
					Known: apps.Terms{Digits: 8, Hex: hex, Lifetime: time.Minute}}
				asked, err = h.service.Apps().Ask(ctx, in)
				return asked.Verdict, err
			})
		}
		prove := func(what string, trips int64, wanted event.Verdict, code string, from netip.Addr) {
			t.Helper()
			takes(name+what, trips, wanted, func() (event.Verdict, error) {
				out, err := h.service.Apps().Prove(ctx, apps.Proof{Caller: h.caller(liveKey), Origin: site, Contact: carol.String(), Slot: "page",
					Code: code, Digits: 8, Hex: hex, EndUser: true, Client: from})
				return out.Verdict, err
			})
		}
		first, elsewhere := int64(2), int64(2)
		if hex {
			// The counter of strong codes is named by what was asked for before, so that the
			// first one reads it apart.
			first = 3
			// The tries that another network has at one code are counted by both, and which
			// code it is about is read first. Counted by the network alone, whoever asks for
			// many codes would take another one's tries, or have more of them.
			elsewhere = 3
		}
		ask("a start", first)
		prove("a code", first, event.Accepted, asked.Code, home)
		ask("a start of somebody known", 2)
		prove("a wrong code from another network", elsewhere, event.Wrong, "00000000", away)
		prove("a code from another network", elsewhere, event.Accepted, asked.Code, away)
	}
}

// Nodes that start at once on an empty database know each other's keys.
func TestNodesKnowTheirKeys(t *testing.T) {
	dsn := pgtest.Database(t)
	var all [3]*house
	var starting sync.WaitGroup
	for i := range all {
		starting.Go(func() { all[i] = newNode(t, dsn) })
	}
	starting.Wait()
	if t.Failed() {
		return
	}
	stored := func() int { return len(pgtest.Rows(t, dsn, "SELECT key FROM gatehouse_record WHERE key LIKE 'key/%'")) }
	soon(t, "all keys are known to all", func() bool {
		n := stored()
		return len(all[0].core.Keys().Status()) == n && len(all[1].core.Keys().Status()) == n && len(all[2].core.Keys().Status()) == n
	})
}
