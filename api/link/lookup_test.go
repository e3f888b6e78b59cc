package link_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

func lookupPath(email, key string) string {
	return "/api/lookup-email?email=" + url.QueryEscape(email) + "&STRIPE_PUBLIC_KEY=" + key
}

func TestLookup(t *testing.T) {
	h := house(t, nil)
	known := h.Do("GET", lookupPath(alice, apitest.LivePub), nil)
	unknown := h.Do("GET", lookupPath("nobody@example.com", apitest.LivePub), nil)
	t.Run("LINK-1", func(t *testing.T) {
		if known.Status != 200 || !strings.HasPrefix(known.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%d %v", known.Status, known.Header)
		}
	})
	t.Run("LINK-2", func(t *testing.T) {
		if a := h.Do("GET", strings.Replace(lookupPath(alice, apitest.LivePub), "/api/lookup-email", "/lookup", 1), nil); a.Get("userExistsOnLink") != true {
			t.Errorf("GET /lookup: %s", a.Text)
		}
		for _, path := range []string{"/lookup", "/api/lookup-email"} {
			if a := h.Do("POST", path, fields{"email": alice, "STRIPE_PUBLIC_KEY": apitest.LivePub}); a.Get("userExistsOnLink") != true {
				t.Errorf("POST %s: %s", path, a.Text)
			}
		}
	})
	t.Run("LINK-3", func(t *testing.T) {
		if known.Get("result") != "success" {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-4", func(t *testing.T) {
		if known.Get("parametersSubmitted.email") != alice {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-5", func(t *testing.T) {
		if known.Get("parametersSubmitted.STRIPE_PUBLIC_KEY") != apitest.LivePub {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-6", func(t *testing.T) {
		if known.Get("userExistsOnLink") != true {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-7", func(t *testing.T) {
		if unknown.Status != 200 || unknown.Get("userExistsOnLink") != false {
			t.Errorf("%d %s", unknown.Status, unknown.Text)
		}
	})
	t.Run("LINK-8", func(t *testing.T) {
		if known.String("client_secret") == "" {
			t.Error(known.Text)
		}
	})
	t.Run("LINK-9", func(t *testing.T) {
		if known.Get("redacted_phone_number") != "+3*********90" {
			t.Error(known.Text)
		}
		if a := h.Do("GET", lookupPath(bob, apitest.LivePub), nil); a.Get("redacted_phone_number") != nil || a.String("client_secret") == "" {
			t.Errorf("who has no number: %s", a.Text)
		}
	})
	t.Run("LINK-10", func(t *testing.T) {
		if unknown.Get("client_secret") != nil {
			t.Error(unknown.Text)
		}
	})
	t.Run("LINK-11", func(t *testing.T) {
		h.Quiet()
		if len(h.Mail.Sent())+len(h.Texts.Sent()) != 0 {
			t.Error("looking up sends something")
		}
	})
	t.Run("LINK-12", func(t *testing.T) {
		if known.Header.Get("Access-Control-Allow-Origin") != "*" || known.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error(known.Header)
		}
		if a := h.Do("GET", lookupPath("", "x"), nil); a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Error("a page can't read why it was refused")
		}
	})
	t.Run("LINK-13", func(t *testing.T) {
		for _, email := range []string{"", "noat", "a@b@c.example", "a b@example.com", "a@example.com,b@example.com", "<a@example.com>"} {
			failed(t, h.Do("GET", lookupPath(email, apitest.LivePub), nil), 400)
		}
		failed(t, h.Do("GET", "/api/lookup-email?STRIPE_PUBLIC_KEY="+apitest.LivePub, nil), 400)
		failed(t, h.Do("GET", lookupPath(alice, apitest.LivePub)+"&email=x@example.com", nil), 400)
	})
	t.Run("LINK-14", func(t *testing.T) {
		for _, key := range []string{"", "pk_live_unknown", apitest.LivePub[1:], apitest.LivePub + "0"} {
			failed(t, h.Do("GET", lookupPath(alice, key), nil), 401)
		}
		failed(t, h.Do("GET", lookupPath(alice, apitest.LiveKey), nil), 401)
		if a := h.Do("GET", lookupPath(alice, apitest.TestPub), nil); a.Get("userExistsOnLink") != false {
			t.Errorf("a test key sees live data: %s", a.Text)
		}
		if a := h.Do("GET", lookupPath("test@example.com", apitest.TestPub), nil); a.Get("userExistsOnLink") != true {
			t.Errorf("a test key does not see test data: %s", a.Text)
		}
	})
	t.Run("LINK-15", func(t *testing.T) {
		create(h, person.Realm{App: "shop"}, person.Draft{Emails: emails(t, "a+b&c=d@example.com")})
		a := h.Do("GET", "/api/lookup-email?email=a%2Bb%26c%3Dd%40example.com&STRIPE_PUBLIC_KEY="+apitest.LivePub, nil)
		if a.Get("parametersSubmitted.email") != "a+b&c=d@example.com" || a.Get("userExistsOnLink") != true {
			t.Error(a.Text)
		}
	})
}

// signInAtGate makes somebody known at a gate.
func signInAtGate(h *apitest.House, a address.Address) {
	h.T.Helper()
	b := session.Browser{Origin: h.Origin}
	begun, err := h.Service.Flows().Begin(h.T.Context(), b, authcore.Start{Address: a})
	if err != nil {
		h.T.Fatal(err)
	}
	b.Flow = begun.FlowCookie
	h.Quiet()
	if out, err := h.Service.Flows().AnswerCode(h.T.Context(), b, "", h.LastMail().Code); err != nil || out.Verdict != event.Accepted {
		h.T.Fatal(out.Verdict, err)
	}
}

func TestLookupKnowsPeopleOfTheGates(t *testing.T) {
	h := house(t, nil)
	carol := emails(t, "carol@example.com")[0]
	signInAtGate(h, carol)
	s := secret(h, carol.String())
	h.Sleep(2 * time.Minute)
	if a := start(h, s, carol.String()); a.Get("emailSent") != true {
		t.Fatal(a.Text)
	}
	if a := authenticate(h, s, carol.String(), h.LastMail().Code); a.Get("authenticationSuccessful") != true {
		t.Error(a.Text)
	}
	if a := h.Do("GET", lookupPath(carol.String(), apitest.TestPub), nil); a.Get("userExistsOnLink") != false {
		t.Error("test keys see people of the gates")
	}
}

func TestLookupsAreThrottled(t *testing.T) {
	t.Run("LINK-40", func(t *testing.T) {
		const perClient = 30
		h := house(t, func(h *apitest.House) {
			h.Config.Limits.PerClient = []limit.Rate{{Count: perClient, Per: 10 * time.Minute}}
		})
		// over looks addresses up until it is refused, and returns how many it
		// could.
		over := func() int {
			for i := range 100 {
				a := h.Do("GET", lookupPath(fmt.Sprintf("x%d@example.com", i), apitest.LivePub), nil)
				if a.Status == 429 {
					if a.Header.Get("Retry-After") == "" || a.Header.Get("X-RateLimit-Limit") == "" {
						t.Error(a.Header)
					}
					return i
				}
			}
			return 100
		}
		for client, want := range map[string]int{"192.0.2.1": perClient, "2001:db8::1": perClient} {
			h.From(client)
			if n := over(); n != want {
				t.Errorf("%s could look %d addresses up", client, n)
			}
		}
		h.From("2001:db8::2")
		if n := over(); n != 0 {
			t.Errorf("the same /64 could look %d more up", n)
		}
		key := apitest.Keys(t, apitest.LivePub)[0]
		for range 1000 - 2*perClient - 20 { // nearly all that a key has in a minute
			h.Core.Count("link lookups "+key.ID(), limit.Rate{Count: 1000, Per: time.Minute})
		}
		h.From("192.0.2.2")
		if n := over(); n >= perClient {
			t.Error("one key has no limit")
		}
	})
}
