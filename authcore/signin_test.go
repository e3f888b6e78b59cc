package authcore_test

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
)

// house is a whole instance on a store in memory, with a sender that keeps what
// it is given.
type house struct {
	t       testing.TB
	store   authcore.Store
	core    *authcore.Core
	service *authcore.Service
	config  authcore.Config
	sender  *recorder
	secrets authcore.Secrets

	mu     sync.Mutex
	events []authcore.Event
}

var (
	site  = mustOrigin("https://app.example.com")
	other = mustOrigin("https://wiki.example.com")
	alice = mustAddress("alice@example.com")
	mal   = mustAddress("mallory@evil.test")
)

func mustOrigin(s string) authcore.Origin {
	o, err := authcore.ParseOrigin(s)
	if err != nil {
		panic(err)
	}
	return o
}

func mustAddress(s string) authcore.Address {
	a, err := authcore.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func secretOf(t testing.TB, c byte) authcore.Secret {
	t.Helper()
	s, err := authcore.NewSecret([]byte(strings.Repeat(string(c), authcore.MinSecretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newHouse(t testing.TB) *house {
	h := &house{t: t, store: memstore.New(), sender: &recorder{}, secrets: authcore.Secrets{Current: secretOf(t, 'a')}}
	h.config = authcore.Config{
		Code: authcore.DefaultCode, Session: authcore.DefaultSession, Limits: authcore.DefaultLimits(),
		MayReceive: func(a authcore.Address) bool { return a.Domain() == "example.com" },
		Protects:   func(o authcore.Origin) bool { return o == site || o == other },
		Senders:    []authcore.Sender{h.sender}, Composer: composer{},
		Observe: func(e authcore.Event) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.events = append(h.events, e)
		},
	}
	h.open()
	return h
}

func (h *house) open() {
	h.t.Helper()
	core, err := authcore.Open(h.t.Context(), h.store, h.secrets, authcore.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.core, h.service = core, core.Use(h.config)
}

func (h *house) close() {
	h.service.Close()
	h.core.Close()
}

func (h *house) reopen() {
	h.close()
	h.open()
}

type composer struct{}

func (composer) Compose(l authcore.Letter) (authcore.Message, error) {
	return authcore.Message{To: l.To, Subject: l.Code, Text: l.Link}, nil
}

// recorder is a sender that keeps messages, or fails as told.
type recorder struct {
	mu   sync.Mutex
	sent []authcore.Message
	fail error
	name string
}

func (r *recorder) Name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cmp.Or(r.name, "recorder")
}

func (r *recorder) rename(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = name
}

func (r *recorder) Send(_ context.Context, m authcore.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.sent = append(r.sent, m)
	return nil
}

func (r *recorder) failWith(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

// last waits until everything that could be sent was, and returns the newest.
func (r *recorder) last(t testing.TB) authcore.Message {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sent) == 0 {
		t.Fatal("no mail was sent")
	}
	return r.sent[len(r.sent)-1]
}

// tab is a browser: it keeps its cookies.
type tab struct {
	h *house
	authcore.Browser
}

func (h *house) browser() *tab {
	return &tab{h, authcore.Browser{Origin: site, Client: netip.MustParseAddr("192.0.2.1"), UserAgent: "Test/1"}}
}

func (b *tab) begin(a authcore.Address) authcore.Begun {
	b.h.t.Helper()
	out, err := b.h.service.Begin(b.h.t.Context(), b.Browser, authcore.Start{
		Address: a, ReturnTo: authcore.ParseReturnTo("/page", b.Origin, b.h.config.Protects), Language: "en",
	})
	if err != nil {
		b.h.t.Fatal(err)
	}
	if out.Verdict == authcore.Accepted {
		b.Flow = out.FlowCookie
	}
	return out
}

func (b *tab) answer(code string) authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.AnswerCode(b.h.t.Context(), b.Browser, "", code))
}

func (b *tab) link(token string) authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.AnswerLink(b.h.t.Context(), b.Browser, token))
}

func (b *tab) resend() authcore.Answer {
	b.h.t.Helper()
	return b.took(b.h.service.Resend(b.h.t.Context(), b.Browser, ""))
}

func (b *tab) took(out authcore.Answer, err error) authcore.Answer {
	b.h.t.Helper()
	if err != nil {
		b.h.t.Fatal(err)
	}
	if out.SignIn != nil {
		b.Session, b.Device = out.SignIn.Session, out.SignIn.DeviceCookie
	}
	return out
}

func (b *tab) signIn(a authcore.Address) *authcore.SignIn {
	b.h.t.Helper()
	want(b.h.t, b.begin(a).Verdict, authcore.Accepted)
	out := b.answer(b.h.sender.last(b.h.t).Code)
	want(b.h.t, out.Verdict, authcore.Accepted)
	return out.SignIn
}

func tokenOf(m authcore.Message) string { return m.Link[strings.LastIndexByte(m.Link, '/')+1:] }

// wrong returns a code that is not code.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

func want[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// run tests in a bubble of fake time, with a house that is closed at the end.
func run(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		defer func() { h.close() }()
		test(t, h)
	})
}

func TestCodeSignsIn(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		want(t, signIn.Session.Address, alice)
		want(t, signIn.ReturnTo.Path(), "/page")
		session, err := h.service.Check(t.Context(), signIn.Token, site)
		want(t, err, nil)
		want(t, session.ID, signIn.Session.ID)
		want(t, session.Method(), "code")
		elsewhere, _ := h.service.Check(t.Context(), signIn.Token, other)
		want(t, elsewhere, nil)
		// The link of the same mail died with the code.
		want(t, b.link(tokenOf(h.sender.last(t))).Verdict, authcore.Used)
	})
}

func TestLinkNeedsTheBrowserThatAsked(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b, phone := h.browser(), h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, phone.link(tokenOf(mail)).Verdict, authcore.OtherBrowser)
		view, err := h.service.Link(t.Context(), phone.Browser, tokenOf(mail))
		want(t, err, nil)
		want(t, view.Verdict, authcore.OtherBrowser)
		want(t, view.HasCode, true)
		out := b.link(tokenOf(mail))
		want(t, out.Verdict, authcore.Accepted)
		want(t, out.SignIn.Session.Method(), "link")
		want(t, b.answer(mail.Code).Verdict, authcore.Used)
		for _, bad := range []string{"", "x", tokenOf(mail)[1:], tokenOf(mail) + "A", strings.ToUpper(tokenOf(mail)), tokenOf(mail) + "="} {
			want(t, b.link(bad).Verdict, authcore.Unknown)
		}
	})
}

func TestFiveWrongCodesKillCodeAndLink(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, b.answer("12345").Verdict, authcore.Malformed)
		for left := 4; left >= 1; left-- {
			out := b.answer(wrong(mail.Code))
			want(t, out.Verdict, authcore.Wrong)
			want(t, out.TriesLeft, left)
		}
		want(t, b.answer(wrong(mail.Code)).Verdict, authcore.Locked)
		want(t, b.answer(mail.Code).Verdict, authcore.Locked)
		want(t, b.link(tokenOf(mail)).Verdict, authcore.Locked)
	})
}

// A new code must not give new tries: after ten wrong codes in a day, code
// entry is off for strangers' browsers, and the link still works, so that
// nobody can lock a person out.
func TestFailuresOverAllChallenges(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		home := h.browser()
		home.signIn(alice)
		time.Sleep(2 * time.Hour)
		b := h.browser()
		for range 2 {
			b.begin(alice)
			mail := h.sender.last(t)
			for range 4 {
				want(t, b.answer(wrong(mail.Code)).Verdict, authcore.Wrong)
			}
			want(t, b.answer(wrong(mail.Code)).Verdict, authcore.Locked)
			time.Sleep(2 * time.Hour)
		}
		b.begin(alice)
		mail := h.sender.last(t)
		want(t, mail.Code, "")
		want(t, b.answer("123456").Verdict, authcore.CodesOff)
		// The person's own browser has tries of its own.
		home.begin(alice)
		if h.sender.last(t).Code == "" {
			t.Fatal("guessing elsewhere switched codes off in a browser that has proved the address")
		}
		want(t, b.link(tokenOf(mail)).Verdict, authcore.Accepted)
		time.Sleep(24 * time.Hour)
		b = h.browser()
		b.begin(alice)
		if h.sender.last(t).Code == "" {
			t.Fatal("codes are still off a day later")
		}
	})
}

func TestRightAnswersRace(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		code := h.sender.last(t).Code
		var won, used atomic.Int32
		parallel(200, func(int) {
			out, err := h.service.AnswerCode(t.Context(), b.Browser, "", code)
			switch {
			case err != nil:
				t.Error(err)
			case out.Verdict == authcore.Accepted:
				won.Add(1)
			case out.Verdict == authcore.Used:
				used.Add(1)
			}
		})
		want(t, won.Load(), 1)
		want(t, used.Load(), 199)
	})
}

func TestWrongAnswersRace(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		code := h.sender.last(t).Code
		var counted atomic.Int32
		parallel(200, func(int) {
			out, err := h.service.AnswerCode(t.Context(), b.Browser, "", wrong(code))
			if err != nil {
				t.Error(err)
			}
			if out.Verdict == authcore.Wrong {
				counted.Add(1)
			}
		})
		want(t, counted.Load(), 4) // and the fifth, which locked it
		want(t, b.answer(code).Verdict, authcore.Locked)
	})
}

func parallel(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func TestDecoyLooksTheSame(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		known, unknown := h.browser(), h.browser()
		want(t, known.begin(alice).Verdict, unknown.begin(mal).Verdict)
		code := h.sender.last(t).Code
		want(t, h.sender.count(), 1)
		for range 7 {
			a, b := known.answer(wrong(code)), unknown.answer(wrong(code))
			want(t, a.Verdict, b.Verdict)
			want(t, a.TriesLeft, b.TriesLeft)
			want(t, a.RetryAfter.Round(time.Second), b.RetryAfter.Round(time.Second))
		}
		want(t, known.begin(alice).Verdict, authcore.Limited)
		want(t, unknown.begin(mal).Verdict, authcore.Limited)
	})
}

func TestNoCodeFitsADecoy(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(mal)
		flow, err := h.service.Flow(t.Context(), b.Browser, "")
		want(t, err, nil)
		want(t, b.answer(h.secrets.Current.CodeFor(flow.Challenge, 6)).Verdict, authcore.Wrong)
		want(t, h.sender.count(), 0)
	})
}

func TestStartAgainSendsNothing(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		for range 5 {
			want(t, b.begin(alice).Verdict, authcore.Accepted)
		}
		h.sender.last(t)
		want(t, h.sender.count(), 1)
		want(t, b.answer(first.Code).Verdict, authcore.Accepted)
	})
}

func TestTwoTabs(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		bob := mustAddress("bob@example.com")
		one := b.begin(alice)
		first := h.sender.last(t)
		two := b.begin(bob)
		second := h.sender.last(t)
		want(t, one.FlowCookie, two.FlowCookie)
		out, err := h.service.AnswerCode(t.Context(), b.Browser, one.Flow, first.Code)
		want(t, err, nil)
		want(t, out.SignIn.Session.Address, alice)
		b.Session = out.SignIn.Session
		out, err = h.service.AnswerCode(t.Context(), b.Browser, two.Flow, second.Code)
		want(t, err, nil)
		want(t, out.SignIn.Session.Address, bob)
		old, _ := h.service.Check(t.Context(), b.Session.ID, site)
		want(t, old, nil)
		want(t, b.Session.Ended(), true)
	})
}

// Two sites on one host share the flow cookie, because ports don't part
// cookies. What was asked for at one must not sign in at the other.
func TestOneSitesCodeIsNoneOfAnothers(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		mail := h.sender.last(t)
		elsewhere := &tab{h, b.Browser}
		elsewhere.Origin = other
		want(t, elsewhere.answer(mail.Code).Verdict, authcore.NoFlow)
		want(t, elsewhere.link(tokenOf(mail)).Verdict, authcore.OtherBrowser)
		want(t, elsewhere.begin(mustAddress("bob@example.com")).Verdict, authcore.Accepted)
		want(t, b.answer(mail.Code).Verdict, authcore.Accepted) // the newest of this site
	})
}

func TestResend(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		out := b.resend()
		want(t, out.Verdict, authcore.Limited)
		want(t, out.RetryAfter, time.Minute)
		b.answer(wrong(first.Code))
		time.Sleep(time.Minute)
		want(t, b.resend().Verdict, authcore.Accepted)
		again := h.sender.last(t)
		want(t, h.sender.count(), 2)
		want(t, again.Code, first.Code)
		want(t, again.Link, first.Link)
		want(t, b.answer(wrong(first.Code)).TriesLeft, 3)
	})
}

func TestExpired(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.begin(alice)
		first := h.sender.last(t)
		time.Sleep(10*time.Minute - time.Second)
		want(t, b.answer(wrong(first.Code)).Verdict, authcore.Wrong)
		time.Sleep(time.Second)
		want(t, b.link(tokenOf(first)).Verdict, authcore.Expired)
		out := b.answer(first.Code)
		want(t, out.Verdict, authcore.Expired)
		want(t, out.Resent, true)
		second := h.sender.last(t)
		if second.Code == first.Code || second.Link == first.Link {
			t.Fatal("the new mail repeats the old secrets")
		}
		want(t, b.answer(second.Code).Verdict, authcore.Accepted)
	})
}

func TestRecipientLimit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		accepted := 0
		for range 30 {
			b := h.browser()
			if b.begin(alice).Verdict == authcore.Accepted {
				accepted++
			}
			time.Sleep(time.Minute)
		}
		want(t, accepted, 5) // an hour
		for range 48 {
			time.Sleep(30 * time.Minute)
			if h.browser().begin(alice).Verdict == authcore.Accepted {
				accepted++
			}
		}
		if accepted < 10 || accepted > 15 {
			t.Fatalf("%d mails in a day and a half", accepted)
		}
	})
}

func TestClientLimit(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		for i := range 301 {
			b := h.browser()
			b.Client = netip.MustParseAddr("2001:db8::1")
			got := b.begin(mustAddress("u" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + "@example.com")).Verdict
			if (got == authcore.Limited) != (i == 300) {
				t.Fatalf("start %d: %v", i, got)
			}
		}
		// Another address of the same /64 is the same client, another /64 is not.
		b := h.browser()
		b.Client = netip.MustParseAddr("2001:db8::ffff")
		want(t, b.begin(alice).Verdict, authcore.Limited)
		b.Client = netip.MustParseAddr("2001:db8:0:1::1")
		want(t, b.begin(alice).Verdict, authcore.Accepted)
	})
}

func TestMailDown(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&authcore.SendError{Fault: authcore.SenderDown, Reason: "connection refused"})
		b := h.browser()
		want(t, b.begin(alice).Verdict, authcore.Accepted) // the start that met the failure
		synctest.Wait()
		want(t, h.browser().begin(alice).Verdict, authcore.MailDown)
		want(t, h.browser().begin(mal).Verdict, authcore.MailDown)
		flow, _ := h.service.Flow(t.Context(), b.Browser, "")
		want(t, flow.MailDown, true)
		h.sender.failWith(nil)
		time.Sleep(31 * time.Second)
		want(t, h.sender.count(), 1)
		want(t, b.answer(h.sender.last(t).Code).Verdict, authcore.Accepted)
		want(t, h.browser().begin(mal).Verdict, authcore.Accepted)
	})
}

func TestRefusedRecipientIsNotMailDown(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&authcore.SendError{Fault: authcore.Rejected, Reason: "550 no such user"})
		h.browser().begin(alice)
		synctest.Wait()
		want(t, h.browser().begin(mustAddress("bob@example.com")).Verdict, authcore.Accepted)
		want(t, h.core.MailWaiting() <= 1, true)
	})
}

func TestMailSurvivesARestart(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.sender.failWith(&authcore.SendError{Fault: authcore.Deferred, Reason: "450 later"})
		b := h.browser()
		b.begin(alice)
		synctest.Wait()
		h.sender.failWith(nil)
		h.reopen()
		want(t, b.answer(h.sender.last(t).Code).Verdict, authcore.Accepted)
		want(t, h.sender.count(), 1)
		h.reopen()
		synctest.Wait()
		want(t, h.sender.count(), 1)
	})
}

func TestSessionSurvivesARestartAndASecretRotation(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		b.begin(mustAddress("bob@example.com"))
		mail := h.sender.last(t)
		h.secrets = authcore.Secrets{Current: secretOf(t, 'b'), Old: []authcore.Secret{h.secrets.Current}}
		h.reopen()
		session, err := h.service.Check(t.Context(), signIn.Token, site)
		want(t, err, nil)
		want(t, session.Address, alice)
		bob := b.answer(mail.Code)
		want(t, bob.Verdict, authcore.Accepted)
		h.close()
		_, err = authcore.Open(t.Context(), h.store, authcore.Secrets{Current: secretOf(t, 'a')}, authcore.Options{})
		want(t, errors.Is(err, authcore.ErrWrongSecret), true)
		h.secrets.Old = nil // keys were wrapped anew
		h.open()
		session, _ = h.service.Check(t.Context(), bob.SignIn.Token, site)
		want(t, session != nil, true)
	})
}

func TestEndedSessionIsRefusedAndCut(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		signIn := b.signIn(alice)
		var cut atomic.Bool
		stream := &authcore.Stream{Session: b.Session, Cut: func() { cut.Store(true) }}
		h.core.Watch(stream)
		defer h.core.Unwatch(stream)
		ended, err := h.core.End(t.Context(), b.Session.ID, authcore.SignedOut)
		want(t, err, nil)
		want(t, ended, true)
		want(t, cut.Load(), true)
		session, _ := h.service.Check(t.Context(), signIn.Token, site)
		want(t, session, nil)
		h.reopen()
		session, _ = h.service.Check(t.Context(), signIn.Token, site)
		want(t, session, nil)
	})
}

func TestStreamGoesOnUnderTheNextSession(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		b.signIn(alice)
		var cut atomic.Bool
		stream := &authcore.Stream{Session: b.Session, Cut: func() { cut.Store(true) }}
		h.core.Watch(stream)
		defer h.core.Unwatch(stream)
		time.Sleep(2 * time.Minute)
		next := b.signIn(alice)
		time.Sleep(3 * time.Second)
		want(t, cut.Load(), false)
		h.core.End(t.Context(), next.Session.ID, "revoked")
		want(t, cut.Load(), true)
	})
}

func TestIdleAndAbsoluteLimits(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		token := b.signIn(alice).Token
		check := func() bool {
			t.Helper()
			s, err := h.service.Check(t.Context(), token, site)
			want(t, err, nil)
			return s != nil
		}
		for range 7 {
			time.Sleep(23*time.Hour + 50*time.Minute)
			want(t, check(), true)
			h.reopen() // the last use is in the store
		}
		time.Sleep(71 * time.Minute)
		want(t, check(), false) // a week is over, although it was in use
		b = h.browser()
		token = b.signIn(alice).Token
		time.Sleep(24*time.Hour + time.Second)
		want(t, check(), false)
	})
}

// With the store out of reach, a session goes on for a minute after its last
// successful read; after that nobody can tell.
func TestStoreUnreachable(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		broken := &breakable{Store: h.store}
		h.close()
		h.store = broken
		h.open()
		b := h.browser()
		token := b.signIn(alice).Token
		broken.broken.Store(true)
		time.Sleep(59 * time.Second)
		s, err := h.service.Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
		time.Sleep(2 * time.Second)
		s, err = h.service.Check(t.Context(), token, site)
		want(t, s, nil)
		want(t, err != nil, true)
		broken.broken.Store(false)
		s, err = h.service.Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
	})
}

type breakable struct {
	authcore.Store
	broken atomic.Bool
}

var errBroken = errors.New("disk on fire")

func (b *breakable) View(ctx context.Context, fn func(authcore.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.Store.View(ctx, fn)
}

func (b *breakable) Update(ctx context.Context, fn func(authcore.Tx) error) error {
	if b.broken.Load() {
		return errBroken
	}
	return b.Store.Update(ctx, fn)
}

func TestKeysRotate(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		want(t, len(h.core.JWKS().Keys), 1)
		first := h.core.JWKS().Keys[0].KeyID
		time.Sleep(91 * 24 * time.Hour)
		want(t, len(h.core.JWKS().Keys), 2)
		b := h.browser()
		token := b.signIn(alice).Token
		if strings.Contains(token, first) {
			t.Fatal("signed with the key that should rest")
		}
		h.reopen()
		s, err := h.service.Check(t.Context(), token, site)
		want(t, err, nil)
		want(t, s != nil, true)
		time.Sleep(34 * 24 * time.Hour)
		want(t, len(h.core.JWKS().Keys), 1)
		want(t, h.core.JWKS().Keys[0].KeyID != first, true)
	})
}

func benchHouse(b *testing.B) *house {
	h := newHouse(b)
	h.config.Limits = authcore.Limits{} // no rate at all: only the work is measured
	h.reopen()
	b.Cleanup(h.close)
	return h
}

// makeSession signs somebody in and returns the token.
func (h *house) makeSession(b *testing.B) string {
	t := h.browser()
	t.begin(alice)
	flow, err := h.service.Flow(b.Context(), t.Browser, "")
	if err != nil {
		b.Fatal(err)
	}
	out := t.answer(h.secrets.Current.CodeFor(flow.Challenge, 6))
	if out.SignIn == nil {
		b.Fatal(out.Verdict)
	}
	return out.SignIn.Token
}
