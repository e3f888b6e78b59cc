package operate

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

var operator = netip.MustParseAddr("192.0.2.7")

// relay takes mail, or fails as it is told.
type relay struct {
	name string
	err  error
}

func (r *relay) Name() string                               { return r.name }
func (r *relay) Send(context.Context, outbox.Message) error { return r.err }

// newInstance is one without a Caddy: a store in memory, ann and bob, a gate for
// everybody at shop.example.com and one below it at /admin for ann.
func newInstance(t *testing.T, senders ...outbox.Sender) (i *Instance, audited *[]event.Event) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	secret, err := keyring.NewSecret([]byte(strings.Repeat("s", keyring.MinSecretBytes)))
	must(err)
	core, err := authcore.Open(t.Context(), memstore.New(), keyring.Secrets{Current: secret}, authcore.Options{})
	must(err)
	t.Cleanup(core.Close)
	audited = new([]event.Event)
	service := core.Use(authcore.Config{
		Code: authcore.DefaultCode, Session: session.DefaultRule, Senders: senders,
		Observe: func(e event.Event) {
			if e.Name == event.Admin {
				*audited = append(*audited, e)
			}
		},
	})
	t.Cleanup(service.Close)
	groups, err := policy.NewGroups(nil, policy.NewLists(nil))
	must(err)
	shop, err := origin.Parse("https://shop.example.com")
	must(err)
	gate := func(at, path string, allow, deny []string) Gate {
		var who [2][]policy.Who
		for n, list := range [][]string{allow, deny} {
			if len(list) > 0 {
				who[n], err = policy.ParseWhoList(list)
				must(err)
			}
		}
		rule := new(session.SiteRule)
		rule.Policy, err = policy.Compile(who[0], who[1], groups)
		must(err)
		return Gate{At: at, Rule: rule, Covers: func(o origin.Origin) bool { return o == shop }, OnPath: func(p string) bool { return strings.HasPrefix(p, path) }}
	}
	i = New(Config{
		Service: service, Core: core, Groups: groups, Senders: senders, Store: func() StoreStatus { return StoreStatus{} },
		Gates: []Gate{gate("shop", "/", []string{"any"}, []string{"mallory@example.net"}), gate("shop /admin/*", "/admin", []string{"ann@example.com"}, nil)},
	})
	_, err = i.Import(t.Context(), operator, strings.NewReader(`{"type":"person","sub":"s1","email":"ann@example.com","created":"1999-01-01T00:00:00Z"}
{"type":"person","sub":"s2","email":"bob@example.com","created":"1999-01-01T00:00:00Z"}
`))
	must(err)
	return i, audited
}

// Operators are answered without HTTP and without Caddy; what they change is
// audited with where they called from, and what can't be is refused by kind.
func TestInstance(t *testing.T) {
	i, audited := newInstance(t)
	page, err := i.Users(t.Context(), "", 1)
	if err != nil || len(page.Users) != 1 || page.Next == "" {
		t.Fatalf("%+v %v", page, err)
	}
	ann, err := i.User(t.Context(), "ann@example.com")
	if err != nil || ann.Subject != "s1" || len(ann.Others) != 0 {
		t.Fatalf("%+v %v", ann, err)
	}
	if _, err := i.DeleteUser(t.Context(), operator, "s2"); err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]struct {
		err  error
		kind Kind
	}{
		"a person who is gone": {second(i.User(t.Context(), "s2")), NotFound},
		"their sessions":       {second(i.SessionsOf(t.Context(), "bob@example.com")), NotFound},
		"ending them":          {i.EndSessionsOf(t.Context(), operator, "bob@example.com"), NotFound},
		"a session":            {i.EndSession(t.Context(), operator, "none"), NotFound},
		"an address":           {second(i.Why(t.Context(), "a@b@c", "")), Malformed},
		"a site":               {second(i.Why(t.Context(), "a@example.com", "::")), Malformed},
		"another site":         {second(i.Why(t.Context(), "a@example.com", "https://else.example")), NotFound},
		"a recipient":          {second(i.TestMail(t.Context(), operator, "nobody")), Malformed},
		"lines":                {second(i.Import(t.Context(), operator, strings.NewReader("nonsense"))), Malformed},
		"a proxy":              {second(i.Snippet("apache")), NotFound},
	} {
		refused := new(Refusal)
		if !errors.As(call.err, &refused) || refused.Kind != call.kind || refused.Error() == "" {
			t.Errorf("%s: %v", what, call.err)
		}
	}
	var actions []string
	for _, e := range *audited {
		if e.Client != operator {
			t.Errorf("%+v", e)
		}
		actions = append(actions, e.Reason)
	}
	if got := strings.Join(actions, " "); got != "import delete_user" {
		t.Errorf("audited %s", got)
	}
}

func second[T any](_ T, err error) error { return err }

// One verdict for each gate, whatever they come to together.
func TestWhyAsksEachGate(t *testing.T) {
	i, _ := newInstance(t)
	for _, test := range []struct {
		email, site string
		all         Verdict
		each        []Verdict
	}{
		{"ann@example.com", "https://shop.example.com/admin/x", Verdict{true, "ann@example.com", ""}, []Verdict{{true, "any", ""}, {true, "ann@example.com", ""}}},
		{"bob@example.com", "shop.example.com/admin", Verdict{false, "not_allowed", ""}, []Verdict{{true, "any", ""}, {false, "not_allowed", ""}}},
		{"bob@example.com", "shop.example.com", Verdict{true, "any", ""}, []Verdict{{true, "any", ""}}},
		{"bob@example.com", "", Verdict{true, "any", ""}, []Verdict{{true, "any", ""}, {false, "not_allowed", ""}}},
		{"mallory@example.net", "shop.example.com/admin", Verdict{false, "not_allowed", "deny mallory@example.net"}, []Verdict{{false, "not_allowed", "deny mallory@example.net"}, {false, "not_allowed", ""}}},
	} {
		why, err := i.Why(t.Context(), test.email, test.site)
		if err != nil || why.Verdict != test.all || len(why.Gates) != len(test.each) {
			t.Errorf("%s at %q: %+v %v", test.email, test.site, why, err)
			continue
		}
		for n, gate := range why.Gates {
			if gate.Verdict != test.each[n] {
				t.Errorf("%s at %q: %+v", test.email, test.site, gate)
			}
		}
	}
}

// A test mail counts for the state of its sender, as any other mail does.
func TestTestMailCounts(t *testing.T) {
	first, second := &relay{name: "smtp first"}, &relay{name: "smtp second"}
	i, _ := newInstance(t, first, second)
	for _, test := range []struct {
		err     error
		outcome string
		state   string
	}{
		{nil, "sent", "ok"},
		{errors.New("no route"), "sender_down", "down"},
		{&outbox.SendError{Fault: outbox.Rejected, Reason: "550 no"}, "rejected", "ok"},
		{&outbox.SendError{Fault: outbox.SenderDown, Reason: "connection refused"}, "sender_down", "down"},
		{context.Canceled, "sender_down", "down"}, // the operator left: nothing is learned
		{nil, "sent", "ok"},
	} {
		first.err = test.err
		out, err := i.TestMail(t.Context(), operator, "ops@example.net")
		if err != nil || !out.Sent || out.Results[0].Outcome != test.outcome || !out.Results[1].Sent {
			t.Errorf("%v: %+v %v", test.err, out, err)
		}
		s := i.Status().Mail.Senders
		if s[0].State() != test.state || s[1].State() != "ok" || s[1].LastSent == nil {
			t.Errorf("%v: %+v", test.err, s)
		}
	}
	if h, ok := i.Health(t.Context()); !ok || h.Mail != "ok" || h.Senders[0] != (SenderHealth{"smtp", "ok"}) {
		t.Errorf("%+v", h)
	}
}
