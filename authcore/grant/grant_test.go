package grant_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
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
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

const issuer = "https://auth.example.com"

var portal, _ = origin.Parse(issuer)

// house is an instance with one client, in a bubble of its own time.
type house struct {
	testing.TB
	store   store.Store
	secrets keyring.Secrets
	core    *authcore.Core
	service *authcore.Service
	client  *grant.Client
	release func()
	stop    func()

	mu    sync.Mutex
	told  []grant.Notice
	at    []time.Time
	fails int
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inHouse runs a test.
func inHouse(t *testing.T, run func(*house)) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{TB: t, store: memstore.New(), secrets: keyring.Secrets{Current: secretOf(t, "s")}, client: &grant.Client{
			ID: "wiki", Name: "Wiki", Redirects: []string{"https://wiki.example.com/cb"}, Backchannel: "https://wiki.example.com/out",
			Policy: admits(t, "any"), Secrets: [][sha256.Size]byte{sha256.Sum256([]byte("s"))},
		}}
		h.open()
		run(h)
		h.stop()
	})
}

func secretOf(t testing.TB, of string) keyring.Secret {
	t.Helper()
	secret, err := keyring.NewSecret([]byte(strings.Repeat(of, keyring.MinSecretBytes)))
	must(t, err)
	return secret
}

func admits(t testing.TB, who ...string) *policy.Policy {
	t.Helper()
	list, err := policy.ParseWhoList(who)
	must(t, err)
	p, err := policy.Compile(list, nil, nil)
	must(t, err)
	return p
}

// open starts the instance on its store.
func (h *house) open() {
	var err error
	h.core, err = authcore.Open(h.Context(), h.store, h.secrets, authcore.Options{})
	must(h, err)
	h.service = h.core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Limits: limit.Default(),
		MayReceive: func(address.Address) bool { return true }, Protects: func(origin.Origin) bool { return true },
	})
	h.release = h.core.Grants().Use(&grant.Means{Clients: []*grant.Client{h.client}, Notify: h.notify})
	h.stop = func() { h.release(); h.service.Close(); h.core.Close() }
}

// reconfigure changes the client, as a reload does.
func (h *house) reconfigure(change func(*grant.Client)) {
	next, release := *h.client, h.release
	change(&next)
	h.client = &next
	h.release = h.core.Grants().Use(&grant.Means{Clients: []*grant.Client{h.client}, Notify: h.notify})
	release()
}

func (h *house) notify(_ context.Context, n grant.Notice) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = append(h.at, time.Now())
	if h.fails > 0 {
		h.fails--
		return errors.New("not now")
	}
	h.told = append(h.told, n)
	return nil
}

// heard is who has been told by now.
func (h *house) heard() (told []grant.Notice, tries int) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.told), len(h.at)
}

// signIn begins a session in a browser that held another, nil for none.
func (h *house) signIn(email string, before *session.Session) *session.Session {
	h.Helper()
	s, _ := h.begin(email, session.Browser{Session: before})
	return s
}

// signInWith begins a session in a browser with these cookies, of sessions that
// are not live.
func (h *house) signInWith(email string, tokens ...string) *session.Session {
	h.Helper()
	s, _ := h.begin(email, session.Browser{Held: tokens})
	return s
}

func (h *house) begin(email string, b session.Browser) (*session.Session, string) {
	h.Helper()
	a, err := address.Parse(email)
	must(h, err)
	at, err := origin.Parse(issuer)
	must(h, err)
	b.Origin, b.Client = at, netip.MustParseAddr("192.0.2.1")
	began, err := store.Update(h.Context(), h.store, func(tx store.Tx) (*session.Beginning, error) {
		p, err := person.ForAddress(tx, a, time.Now())
		if err != nil {
			return nil, err
		}
		return h.service.Sessions().Begin(tx, session.Proof{Person: p, Method: "code", ByMail: true, At: time.Now(), Browser: b})
	})
	must(h, err)
	h.core.Sessions().Begun(h.Context(), began)
	return began.Session, began.Token
}

// end ends a session as its person or an operator does.
func (h *house) end(sid string) {
	h.Helper()
	if found, err := h.core.Sessions().End(h.Context(), sid, session.SignedOut); err != nil || !found {
		h.Errorf("ended: %v, %v", found, err)
	}
}

const verifier = "verifier-verifier-verifier-verifier-verifier"

func (h *house) code(s *session.Session, scope ...string) string {
	h.Helper()
	sum := sha256.Sum256([]byte(verifier))
	code, err := h.core.Grants().Code(h.Context(), grant.Ask{
		Issuer: issuer, Client: h.client, Session: s, RedirectURI: "https://wiki.example.com/cb",
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Wish: grant.Wish{Scope: append([]string{grant.ScopeOpenID}, scope...)},
	})
	must(h, err)
	return code
}

// agree says yes to what the client wishes, if it asks.
func (h *house) agree(s *session.Session, w grant.Wish) {
	h.Helper()
	ask, err := h.core.Grants().Asks(h.Context(), portal, h.client, h.client.Redirects[0], s, w, true)
	must(h, err)
	if ok, err := h.core.Grants().Agree(h.Context(), ask, ask.Mark); err != nil || ok != (ask.Question != grant.NoQuestion) {
		h.Fatalf("agreed: %v, %v", ok, err)
	}
}

func (h *house) redeem(code string) (*grant.Issued, error) {
	return h.core.Grants().Redeem(h.Context(), grant.Redemption{Issuer: issuer, Client: h.client, Code: code, RedirectURI: "https://wiki.example.com/cb", Verifier: verifier})
}

func (h *house) issue(s *session.Session, scope ...string) *grant.Issued {
	h.Helper()
	out, err := h.redeem(h.code(s, scope...))
	must(h, err)
	return out
}

func (h *house) refresh(token string) (*grant.Issued, error) {
	return h.core.Grants().Refresh(h.Context(), issuer, h.client, token, nil)
}

func (h *house) isGood(token string) bool {
	h.Helper()
	a, err := h.core.Grants().Read(h.Context(), issuer, token, true)
	must(h, err)
	return a != nil
}

func (h *house) wantRefused(what string, err error) {
	h.Helper()
	if !errors.Is(err, grant.ErrRefused) {
		h.Errorf("%s: %v", what, err)
	}
}

// A code that comes again soon is a repeat, and ends nothing; later somebody has
// a copy of it.
func TestCodeReuse(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		code := h.code(s, grant.ScopeOffline)
		out, err := h.redeem(code)
		must(t, err)
		time.Sleep(9 * time.Second)
		_, err = h.redeem(code)
		h.wantRefused("soon", err)
		if !h.isGood(out.Access) || !h.isGood(out.Refresh) {
			t.Error("a repeat has ended the grant")
		}
		time.Sleep(2 * time.Second)
		_, err = h.redeem(code)
		h.wantRefused("later", err)
		if h.isGood(out.Access) || h.isGood(out.Refresh) {
			t.Error("a stolen code ends nothing")
		}
	})
}

func TestCodeLifetime(t *testing.T) {
	inHouse(t, func(h *house) {
		code := h.code(h.signIn("alice@example.com", nil))
		time.Sleep(grant.CodeLifetime)
		_, err := h.redeem(code)
		h.wantRefused("a minute later", err)
	})
}

// The client may lose an answer; nobody may use a token twice.
func TestRefreshReuse(t *testing.T) {
	inHouse(t, func(h *house) {
		first := h.issue(h.signIn("alice@example.com", nil), grant.ScopeOffline)
		time.Sleep(time.Hour)
		next, err := h.refresh(first.Refresh)
		must(t, err)
		time.Sleep(9 * time.Second)
		again, err := h.refresh(first.Refresh)
		must(t, err)
		if again.Access != next.Access || again.Refresh != next.Refresh || !again.At.Equal(next.At) || again.Lifetime != next.Lifetime {
			t.Errorf("%+v, then %+v", next, again)
		}
		time.Sleep(2 * time.Second)
		_, err = h.refresh(first.Refresh)
		h.wantRefused("after 11 s", err)
		if h.isGood(next.Access) || h.isGood(next.Refresh) {
			t.Error("the grant goes on")
		}
		if told, _ := h.heard(); len(told) != 0 {
			t.Error("the sign-in goes on, and its client was told of an end")
		}
	})
}

// A node that has not the secret that another one's tokens are made with refuses none of
// those, and ends nothing.
func TestRefreshAtANodeWithoutTheSecret(t *testing.T) {
	inHouse(t, func(h *house) {
		core, service, release := h.core, h.service, h.release
		defer func() { release(); service.Close(); core.Close() }()
		without := core.Grants()
		h.secrets = keyring.Secrets{Current: secretOf(t, "n"), Old: []keyring.Secret{h.secrets.Current}}
		h.open()
		out := h.issue(h.signIn("alice@example.com", nil), grant.ScopeOffline)
		for range 3 {
			_, err := without.Refresh(h.Context(), issuer, h.client, out.Refresh, nil)
			if !errors.Is(err, keyring.ErrWrongSecret) {
				t.Errorf("at a node without the secret: %v", err)
			}
		}
		_, err := without.Refresh(h.Context(), issuer, h.client, "x"+out.Refresh, nil)
		h.wantRefused("what nobody has made", err)
		_, err = h.refresh(out.Refresh)
		must(t, err)
	})
}

// A refresh is no use of the session: without offline_access all ends when it was
// not used for too long, with it only at its absolute end. Neither is told.
func TestIdleAndMax(t *testing.T) {
	inHouse(t, func(h *house) {
		short := h.issue(h.signIn("alice@example.com", nil))
		long := h.issue(h.signIn("bob@example.com", nil), grant.ScopeOffline)
		began := time.Now()
		for time.Since(began) < 7*24*time.Hour-2*time.Hour {
			time.Sleep(time.Hour)
			next, err := h.refresh(long.Refresh)
			if err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			long = next
			if time.Since(began) == time.Hour && h.isGood(short.Access) {
				t.Error("an access token outlives its hour")
			}
		}
		time.Sleep(2 * time.Hour)
		_, err := h.refresh(long.Refresh)
		h.wantRefused("after the session's end", err)
		if told, _ := h.heard(); len(told) != 0 {
			t.Errorf("told: %v", told)
		}
	})
}

func TestIdleEndsWhatIsNotOffline(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		time.Sleep(24*time.Hour - time.Minute)
		out, offline := h.issue(s), h.issue(s, grant.ScopeOffline)
		time.Sleep(2 * time.Minute)
		if h.isGood(out.Access) || !h.isGood(offline.Access) {
			t.Error("without use of the session: openid goes on, or offline_access ends")
		}
	})
}

// A client is tried three times, with pauses, and nobody waits for it.
func TestNoticeIsTriedThreeTimes(t *testing.T) {
	for fails, wantTold := range map[int]int{0: 1, 2: 1, 3: 0} {
		inHouse(t, func(h *house) {
			h.fails = fails
			s := h.signIn("alice@example.com", nil)
			out := h.issue(s)
			began := time.Now()
			if _, err := h.core.Sessions().End(h.Context(), s.ID, session.SignedOut); err != nil {
				t.Fatal(err)
			}
			if !time.Now().Equal(began) || h.isGood(out.Access) {
				t.Error("the person waits, or the token is still good")
			}
			time.Sleep(10 * time.Minute)
			told, tries := h.heard()
			if len(told) != wantTold || tries != min(fails+1, 3) {
				t.Errorf("with %d failures: %d tries, %d told", fails, tries, len(told))
			}
			if tries > 1 && h.at[tries-1].Sub(h.at[0]) < 5*time.Second {
				t.Error("it is tried again at once")
			}
		})
	}
}

// What was not told before this process ended is told by the next one.
func TestNoticeSurvivesARestart(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		h.issue(s)
		h.fails = 1
		if _, err := h.core.Sessions().End(h.Context(), s.ID, "revoked"); err != nil {
			t.Fatal(err)
		}
		if _, tries := h.heard(); tries != 1 {
			t.Fatalf("%d tries", tries)
		}
		h.stop()
		h.open()
		time.Sleep(time.Minute)
		told, tries := h.heard()
		if len(told) != 1 || tries != 2 || told[0].Session != s.ID || told[0].Subject != s.Subject || told[0].Issuer != issuer {
			t.Errorf("%d tries, told %+v", tries, told)
		}
		time.Sleep(time.Hour)
		if told, _ := h.heard(); len(told) != 1 {
			t.Errorf("told %d times", len(told))
		}
	})
}

// node is a store that two houses share.
type node struct {
	store.Store
	name string
	gone *atomic.Value // name of the node that is gone
}

func (n node) Node() string { return n.name }

func (n node) Gone(_ context.Context, name string) (bool, error) { return name == n.gone.Load(), nil }

func (n node) OnLost(func(context.Context, store.Store, store.Lost) error) {}

var _ store.Shared = node{}

// Of the nodes that share a store one tells, and another goes on where that is gone.
func TestNoticeByOneNode(t *testing.T) {
	for _, dies := range []bool{false, true} {
		inHouse(t, func(h *house) {
			engine, gone := h.store, &atomic.Value{}
			gone.Store("")
			h.stop()
			h.store = node{engine, "one", gone}
			h.open()
			other := &house{TB: h.TB, store: node{engine, "two", gone}, secrets: h.secrets, client: h.client}
			other.open()
			s := h.signIn("alice@example.com", nil)
			h.issue(s)
			time.Sleep(50 * time.Second)
			h.fails = 2
			h.end(s.ID)
			time.Sleep(15 * time.Second) // the other one has looked at all, meanwhile
			if _, tries := h.heard(); tries != 2 {
				t.Errorf("%d tries", tries)
			}
			if dies {
				h.stop()
				gone.Store("one")
			}
			time.Sleep(10 * time.Minute)
			mine, _ := h.heard()
			its, tries := other.heard()
			if want := map[bool]int{true: 1}[dies]; len(its) != want || tries != want || len(mine)+len(its) != 1 {
				t.Errorf("dies %v: told by one %d, by the other %d times in %d tries", dies, len(mine), len(its), tries)
			}
			other.stop()
			if dies {
				h.open()
			}
		})
	}
}

// All sessions that end at once, with the keys, are told too.
func TestNoticeOfEverybody(t *testing.T) {
	inHouse(t, func(h *house) {
		out := h.issue(h.signIn("alice@example.com", nil), grant.ScopeOffline)
		if _, err := h.core.Keys().Rotate(h.Context(), true); err != nil {
			t.Fatal(err)
		}
		_, err := h.refresh(out.Refresh)
		h.wantRefused("after all were ended", err)
		time.Sleep(2 * time.Minute)
		if told, _ := h.heard(); len(told) != 1 {
			t.Errorf("told: %v", told)
		}
	})
}

// Whom the client does not admit any more gets nothing, and it is told.
func TestNoticeOfARefusal(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		out, code := h.issue(s, grant.ScopeOffline), h.code(s)
		h.reconfigure(func(c *grant.Client) { c.Policy = admits(t, "bob@example.com") })
		_, err := h.redeem(code)
		h.wantRefused("a code", err)
		_, err = h.refresh(out.Refresh)
		h.wantRefused("a refresh", err)
		if h.isGood(out.Access) {
			t.Error("the access token is still good")
		}
		time.Sleep(2 * time.Minute)
		if told, _ := h.heard(); len(told) != 1 {
			t.Errorf("told: %v", told)
		}
	})
}

// A person who signs in again has the same apps; somebody else has none of them.
func TestTheHeirOfASession(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		out := h.issue(s, grant.ScopeOffline)
		time.Sleep(time.Second)
		s = h.signIn("alice@example.com", s)
		out, err := h.refresh(out.Refresh)
		must(t, err)
		if told, _ := h.heard(); len(told) != 0 {
			t.Errorf("told: %v", told)
		}
		h.signIn("bob@example.com", s)
		_, err = h.refresh(out.Refresh)
		h.wantRefused("after another person", err)
		if told, _ := h.heard(); len(told) != 1 {
			t.Errorf("told: %v", told)
		}
	})
}

// A session that was not used for too long has gone on in what apps hold with
// offline_access, and ends for them by whatever ends any other.
func TestIdleSessionsEnd(t *testing.T) {
	for name, end := range map[string]func(h *house, old *session.Session, token string) (keeps bool){
		"the same person signs in": func(h *house, _ *session.Session, token string) bool {
			h.signInWith("alice@example.com", token)
			return true
		},
		"the same person signs in and out": func(h *house, _ *session.Session, token string) bool {
			h.end(h.signInWith("alice@example.com", token).ID)
			return false
		},
		"the same person signs in twice and out": func(h *house, _ *session.Session, token string) bool {
			next := h.signInWith("alice@example.com", token)
			h.end(h.signIn("alice@example.com", next).ID)
			return false
		},
		"another person signs in": func(h *house, _ *session.Session, token string) bool {
			h.signInWith("bob@example.com", token)
			return false
		},
		"the same person in another browser": func(h *house, _ *session.Session, _ string) bool {
			h.end(h.signInWith("alice@example.com").ID)
			return true
		},
		"an operator ends it": func(h *house, old *session.Session, _ string) bool {
			h.end(old.ID)
			return false
		},
		"signed out everywhere": func(h *house, old *session.Session, _ string) bool {
			_, err := h.core.Sessions().EndPerson(h.Context(), old.Subject, "revoked")
			must(h, err)
			return false
		},
		"withdrawn": func(h *house, old *session.Session, _ string) bool {
			must(h, h.core.Grants().Withdraw(h.Context(), old.Subject, h.client.ID))
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				old, token := h.begin("alice@example.com", session.Browser{})
				out := h.issue(old, grant.ScopeOffline)
				time.Sleep(25 * time.Hour)
				out, err := h.refresh(out.Refresh)
				must(t, err)
				if held, err := h.core.Grants().Held(h.Context(), old.Subject); err != nil || len(held) != 1 || held[0].Client != h.client.ID {
					t.Errorf("the account page shows %+v, %v", held, err)
				}
				keeps := end(h, old, token)
				if h.isGood(out.Access) != keeps {
					t.Errorf("the access token is good: %v", !keeps)
				}
				_, err = h.refresh(out.Refresh)
				told, _ := h.heard()
				if keeps {
					must(t, err)
					return
				}
				h.wantRefused("a refresh", err)
				if len(told) != 1 || told[0].Session != old.ID {
					t.Errorf("told: %+v", told)
				}
				if held, err := h.core.Grants().Held(h.Context(), old.Subject); err != nil || len(held) != 0 {
					t.Errorf("the account page shows %+v, %v", held, err)
				}
			})
		})
	}
}

// A code from before a withdrawal is good for nothing after it, also when the
// person has agreed again, or nobody had to be asked.
func TestWithdrawalEndsCodes(t *testing.T) {
	for name, change := range map[string]func(*grant.Client){
		"the operator's own": func(*grant.Client) {}, "consent": func(c *grant.Client) { c.Consent = true }, "sign-up": func(c *grant.Client) { c.SignUp = true },
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				change(h.client)
				s := h.signIn("alice@example.com", nil)
				h.agree(s, grant.Wish{})
				one, two := h.code(s), h.code(s)
				time.Sleep(time.Second)
				must(t, h.core.Grants().Withdraw(h.Context(), s.Subject, h.client.ID))
				_, err := h.redeem(one)
				h.wantRefused("a code from before", err)
				time.Sleep(time.Second)
				h.agree(s, grant.Wish{})
				_, err = h.redeem(two)
				h.wantRefused("after another yes", err)
				if !h.isGood(h.issue(s).Access) {
					t.Error("a new code is not good")
				}
			})
		})
	}
}

// A client that asks for consent from now on holds nothing of who never agreed.
func TestConsentFromNowOn(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		out := h.issue(s, grant.ScopeOffline)
		h.reconfigure(func(c *grant.Client) { c.Consent = true })
		if h.isGood(out.Access) {
			t.Error("the access token is still good")
		}
		_, err := h.refresh(out.Refresh)
		h.wantRefused("a refresh", err)
	})
}

// What browsers carry along holds only for the request it was made for, and for
// an hour.
func TestSince(t *testing.T) {
	inHouse(t, func(h *house) {
		g := h.core.Grants()
		mark := g.Since("one")
		made := time.Now().Truncate(time.Millisecond)
		time.Sleep(time.Minute)
		if !g.Marked(mark, "one").Equal(made) || !g.Marked(mark, "two").IsZero() || !g.Marked("9"+mark, "one").IsZero() || !g.Marked(mark+"x", "one").IsZero() || !g.Marked("", "one").IsZero() {
			t.Error("a mark is good for another request, or is not good for its own")
		}
		time.Sleep(time.Hour)
		if !g.Marked(mark, "one").IsZero() {
			t.Error("a mark outlives its hour")
		}
	})
}

func TestMayRedirect(t *testing.T) {
	c := &grant.Client{Redirects: []string{"https://app.example.com/cb?x=1", "http://127.0.0.1/cb", "http://[::1]:80/cb", "http://localhost:3000/cb"}}
	for uri, want := range map[string]bool{
		"https://app.example.com/cb?x=1": true, "https://app.example.com/cb": false, "https://APP.example.com/cb?x=1": false,
		"http://127.0.0.1/cb": true, "http://127.0.0.1:5/cb": true, "http://127.0.0.1:/cb": false, "http://127.0.0.1:123456/cb": false,
		"http://127.0.0.1:5/other": false, "https://127.0.0.1:5/cb": false, "http://127.0.0.2:5/cb": false, "http://127.0.0.1:5x/cb": false,
		"http://127.0.0.1:5@evil.example.com/cb": false, "http://[::1]:5/cb": true, "http://[::1]/cb": true,
		"http://localhost:3000/cb": true, "http://localhost:3001/cb": false,
	} {
		if c.MayRedirect(uri) != want {
			t.Errorf("%s: %v", uri, !want)
		}
	}
}

// Apps know people by the same pairwise subject after a move, and nobody is asked
// again.
func TestSubjectsSurviveAMove(t *testing.T) {
	inHouse(t, func(h *house) {
		h.reconfigure(func(c *grant.Client) { c.Pairwise, c.Consent = true, true })
		s := h.signIn("alice@example.com", nil)
		h.agree(s, grant.Wish{})
		before, err := h.core.Grants().Subject(h.Context(), h.client, s.Subject)
		must(t, err)
		if before == s.Subject || len(before) < 40 {
			t.Fatalf("the subject is %s", before)
		}
		var export strings.Builder
		_, err = h.core.Move().Export(h.Context(), &export, false)
		must(t, err)
		h.stop()
		h.store = memstore.New()
		h.open()
		for range 2 { // again changes nothing
			if _, err := h.core.Move().Import(h.Context(), strings.NewReader(export.String())); err != nil {
				t.Fatal(err)
			}
		}
		after, err := h.core.Grants().Subject(h.Context(), h.client, s.Subject)
		must(t, err)
		ask, err := h.core.Grants().Asks(h.Context(), portal, h.client, h.client.Redirects[0], s, grant.Wish{}, false)
		must(t, err)
		if after != before || ask.Question != grant.NoQuestion {
			t.Errorf("%s was %s, question %d", after, before, ask.Question)
		}
		other := strings.Replace(export.String(), `"salt":"`, `"salt":"AAAA`, 1)
		if _, err := h.core.Move().Import(h.Context(), strings.NewReader(other)); err == nil || !strings.Contains(err.Error(), "pairwise subjects of its own") {
			t.Errorf("another salt: %v", err)
		}
	})
}

// hangs has a client not answer until told otherwise, as a slow or hostile one.
type hangs struct {
	mu   sync.Mutex
	dead map[string]bool
	told map[string]map[string]time.Time // by client, by session
	sent map[string]int
}

func (x *hangs) notify(ctx context.Context, n grant.Notice) error {
	x.mu.Lock()
	x.sent[n.Client.ID]++
	dead := x.dead[n.Client.ID]
	x.mu.Unlock()
	if dead {
		select {
		case <-time.After(5 * time.Second):
		case <-ctx.Done():
		}
		return grant.ErrNoAnswer
	}
	time.Sleep(50 * time.Millisecond)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.told[n.Client.ID] == nil {
		x.told[n.Client.ID] = map[string]time.Time{}
	}
	x.told[n.Client.ID][n.Session] = time.Now()
	return nil
}

// One client that does not answer keeps no other waiting, and takes no longer for
// hundreds of sessions than for one; once it answers again all are told.
func TestNoticesOfOneAppWaitForNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		everybody bool
		back      time.Duration // when the slow one answers, 0: never
	}{"one by one": {}, "with all keys": {everybody: true}, "it comes back": {back: 12 * time.Second}, "late": {back: 40 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				const sessions = 240
				slow, quick := *h.client, *h.client
				slow.ID, quick.ID = "slow", "quick"
				x := &hangs{dead: map[string]bool{"slow": true}, told: map[string]map[string]time.Time{}, sent: map[string]int{}}
				h.release()
				h.release = h.core.Grants().Use(&grant.Means{Clients: []*grant.Client{&slow, &quick}, Notify: x.notify})
				var sids []string
				for range sessions {
					s := h.signIn("alice@example.com", nil)
					for _, c := range []*grant.Client{&slow, &quick} {
						h.client = c
						h.issue(s)
					}
					sids = append(sids, s.ID)
				}
				began := time.Now()
				if c.everybody {
					if _, err := h.core.Keys().Rotate(h.Context(), true); err != nil {
						t.Fatal(err)
					}
				} else {
					for _, sid := range sids {
						h.end(sid)
					}
				}
				if c.back > 0 {
					time.Sleep(c.back)
					x.mu.Lock()
					x.dead["slow"] = false
					x.mu.Unlock()
				}
				time.Sleep(time.Minute - c.back)
				synctest.Wait()
				x.mu.Lock()
				defer x.mu.Unlock()
				want := map[string]int{"quick": sessions, "slow": 0}
				if c.back > 0 {
					want["slow"] = sessions
				}
				for id, n := range want {
					if len(x.told[id]) != n {
						t.Errorf("%s was told of %d sessions within a minute, want %d", id, len(x.told[id]), n)
					}
				}
				for _, at := range x.told["quick"] {
					if at.Sub(began) > 5*time.Second {
						t.Fatalf("the quick one hears it after %s", at.Sub(began))
					}
				}
				if c.back == 0 && (x.sent["slow"] < 3 || x.sent["slow"] > 3*8) {
					t.Errorf("%d tries of one that does not answer", x.sent["slow"])
				}
			})
		})
	}
}

// A client that people use at two issuers knows of two sign-ins.
func TestNoticeForEachIssuer(t *testing.T) {
	inHouse(t, func(h *house) {
		s := h.signIn("alice@example.com", nil)
		sum := sha256.Sum256([]byte(verifier))
		issuers := []string{issuer, "https://login.example.net", issuer, "https://auth.example.com:8443"}
		for _, at := range issuers {
			code, err := h.core.Grants().Code(h.Context(), grant.Ask{
				Issuer: at, Client: h.client, Session: s, RedirectURI: "https://wiki.example.com/cb",
				Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Wish: grant.Wish{Scope: []string{grant.ScopeOpenID}},
			})
			must(t, err)
			_, err = h.core.Grants().Redeem(h.Context(), grant.Redemption{Issuer: at, Client: h.client, Code: code, RedirectURI: "https://wiki.example.com/cb", Verifier: verifier})
			must(t, err)
		}
		h.end(s.ID)
		told, _ := h.heard()
		var got []string
		for _, n := range told {
			got = append(got, n.Issuer)
		}
		slices.Sort(got)
		if want := []string{issuer, "https://auth.example.com:8443", "https://login.example.net"}; !slices.Equal(got, want) {
			t.Errorf("told for %v, want %v", got, want)
		}
	})
}

// What an app holds keeps the names that it got, whatever the configuration says of
// subjects later; who signs in again gets the new ones.
func TestNamesOfAGrantStay(t *testing.T) {
	for name, change := range map[string]struct{ before, after func(*grant.Client) }{
		"pairwise later":  {func(*grant.Client) {}, func(c *grant.Client) { c.Pairwise = true }},
		"public later":    {func(c *grant.Client) { c.Pairwise = true }, func(c *grant.Client) { c.Pairwise = false }},
		"another sector":  {func(c *grant.Client) { c.Pairwise = true }, func(c *grant.Client) { c.Redirects = []string{"https://new.example.com/cb"} }},
		"nothing changes": {func(c *grant.Client) { c.Pairwise = true }, func(*grant.Client) {}},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				change.before(h.client)
				s := h.signIn("alice@example.com", nil)
				out := h.issue(s, grant.ScopeOffline)
				had, err := h.core.Grants().Names(h.Context(), out.Grant)
				must(t, err)
				h.change(change.after)
				a, err := h.core.Grants().Read(h.Context(), issuer, out.Access, false)
				must(t, err)
				next, err := h.refresh(out.Refresh)
				must(t, err)
				for what, gr := range map[string]*grant.Grant{"userinfo": a.Grant, "a refresh": next.Grant} {
					if names, err := h.core.Grants().Names(h.Context(), gr); err != nil || names != had {
						t.Errorf("%s tells %+v, was %+v, %v", what, names, had, err)
					}
				}
				sid, err := h.core.Grants().SessionOf(h.Context(), h.client, s.Subject, had)
				if must(t, err); sid != s.ID {
					t.Errorf("the ID token is of session %q", sid)
				}
				h.end(s.ID)
				if told, _ := h.heard(); len(told) != 1 || told[0].Names != had {
					t.Errorf("told: %+v, want %+v", told, had)
				}
			})
		})
	}
}

// change reconfigures the client, as a reload does.
func (h *house) change(do func(*grant.Client)) {
	next := *h.client
	do(&next)
	h.client = &next
	h.reconfigure(func(*grant.Client) {})
}

// A withdrawal is told, whatever has become of the session.
func TestWithdrawalIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		idle  time.Duration
		scope []string
	}{
		"in use": {}, "idle": {idle: 25 * time.Hour}, "idle, with offline_access": {idle: 25 * time.Hour, scope: []string{grant.ScopeOffline}},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				s := h.signIn("alice@example.com", nil)
				h.issue(s, c.scope...)
				time.Sleep(c.idle)
				h.signIn("alice@example.com", nil) // in another browser
				must(t, h.core.Grants().Withdraw(h.Context(), s.Subject, h.client.ID))
				if told, _ := h.heard(); len(told) != 1 || told[0].Session != s.ID {
					t.Errorf("told: %+v", told)
				}
			})
		})
	}
}

// Whatever is more than a page named is asked for anew, and told to nobody before:
// where consent is asked for, and of whoever has signed up.
func TestMoreIsAskedForAnew(t *testing.T) {
	email, name := grant.Wish{Scope: []string{grant.ScopeOpenID, grant.ScopeEmail}}, grant.Wish{Scope: []string{grant.ScopeOpenID, grant.ScopeProfile}}
	for kind, change := range map[string]func(*grant.Client){
		"consent": func(c *grant.Client) { c.Consent = true }, "sign-up": func(c *grant.Client) { c.SignUp = true },
		"both": func(c *grant.Client) { c.Consent, c.SignUp = true, true },
	} {
		t.Run(kind, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.reconfigure(func(c *grant.Client) { c.Profile = true; change(c) })
				s := h.signIn("alice@example.com", nil)
				asked := func(w grant.Wish) grant.Question {
					ask, err := h.core.Grants().Asks(h.Context(), portal, h.client, h.client.Redirects[0], s, w, false)
					must(t, err)
					return ask.Question
				}
				tells := func() grant.Facts {
					a, err := h.core.Grants().Read(h.Context(), issuer, h.issue(s, grant.ScopeEmail, grant.ScopeProfile).Access, false)
					must(t, err)
					return a.Told
				}
				h.agree(s, grant.Wish{Scope: []string{grant.ScopeOpenID}})
				if asked(email) != grant.AskConsent || asked(grant.Wish{Scope: []string{grant.ScopeOpenID, grant.ScopeOffline}}) != grant.AskConsent || asked(grant.Wish{UserInfo: grant.Facts{Email: true}}) != grant.AskConsent || asked(grant.Wish{}) != grant.NoQuestion {
					t.Error("what the page did not name is not asked for")
				}
				if told := tells(); told != (grant.Facts{}) {
					t.Errorf("told before: %+v", told)
				}
				h.agree(s, email)
				s = h.named(s, "Alice")
				if asked(email) != grant.NoQuestion || asked(name) != grant.AskConsent {
					t.Error("the name is not asked for, or the address is again")
				}
				h.agree(s, name)
				if told := tells(); told != (grant.Facts{Email: true, Name: true}) || asked(name) != grant.NoQuestion {
					t.Errorf("told after both: %+v", told)
				}
				for _, next := range []string{"", "Alison"} { // taken back, and another given
					if s = h.named(s, next); tells().Name {
						t.Errorf("told that the name is %q", next)
					}
				}
				if asked(name) != grant.AskConsent {
					t.Error("another name is not asked for")
				}
				ask, err := h.core.Grants().Asks(h.Context(), portal, h.client, h.client.Redirects[0], s, name, false)
				must(t, err)
				s = h.named(s, "Bob") // while the page is open
				if after, err := h.core.Grants().Asks(h.Context(), portal, h.client, h.client.Redirects[0], s, name, false); err != nil || after.Mark == ask.Mark {
					t.Error("the page of another name counts for this one")
				}
				if ok, err := h.core.Grants().Agree(h.Context(), ask, ask.Mark); err != nil || !ok || tells().Name {
					t.Error("the name after the page is told")
				}
			})
		})
	}
}

// named gives the person of a session a name, and returns the session with it.
func (h *house) named(s *session.Session, name string) *session.Session {
	h.Helper()
	must(h, h.store.Update(h.Context(), func(tx store.Tx) error {
		p, err := person.Load(tx, s.Subject)
		if err != nil {
			return err
		}
		p.Name = name
		return store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{})
	}))
	next := *s
	next.Name = name
	return &next
}

// A program without a secret can't show that it is the client: any other of its
// machine can take the port or the scheme. Its person is asked each time.
func TestOtherProgramsOfTheMachine(t *testing.T) {
	for uri, asks := range map[string]bool{
		"http://127.0.0.1:5000/cb": true, "http://127.0.0.2/cb": true, "http://[::1]/cb": true, "http://[::ffff:127.0.0.1]:80/cb": true, "com.example.app:/cb": true,
		"http://localhost:3000/cb": true, "http://spa.localhost/cb": true, "https://wiki.example.com/cb": false,
	} {
		for _, secret := range []bool{false, true} {
			inHouse(t, func(h *house) {
				if !secret {
					h.reconfigure(func(c *grant.Client) { c.Secrets = nil })
				}
				s := h.signIn("alice@example.com", nil)
				for range 2 {
					ask, err := h.core.Grants().Asks(h.Context(), portal, h.client, uri, s, grant.Wish{}, false)
					must(t, err)
					if want := asks && !secret; (ask.Question == grant.AskConsent) != want {
						t.Errorf("%s, secret %v: question %d", uri, secret, ask.Question)
					} else if ok, err := h.core.Grants().Agree(h.Context(), ask, ask.Mark); err != nil || ok != want {
						t.Errorf("%s: agreed %v, %v", uri, ok, err)
					}
				}
			})
		}
	}
	// A portal on the machine itself is where pages are being written.
	here, err := origin.Parse("http://localhost:8080")
	must(t, err)
	for uri, asks := range map[string]bool{"http://localhost:3000/cb": false, "http://127.0.0.1:3000/cb": true} {
		inHouse(t, func(h *house) {
			h.reconfigure(func(c *grant.Client) { c.Secrets = nil })
			s := h.signIn("alice@example.com", nil)
			if ask, err := h.core.Grants().Asks(h.Context(), here, h.client, uri, s, grant.Wish{}, false); err != nil || (ask.Question == grant.AskConsent) != asks {
				t.Errorf("%s: question %d, %v", uri, ask.Question, err)
			}
		})
	}
}
