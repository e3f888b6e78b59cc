package authcore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// policyOf admits the people that a configuration would list so.
func policyOf(t testing.TB, allow ...string) *policy.Policy {
	t.Helper()
	list, err := policy.ParseWhoList(allow)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(list, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func anybody(t testing.TB) *policy.Policy { return policyOf(t, "any") }

// rules are the rules of the sites that every stream is at.
func rules(all ...*session.SiteRule) func(*session.Stream) []*session.SiteRule {
	return func(*session.Stream) []*session.SiteRule { return all }
}

func mustPublic(t testing.TB, patterns ...string) *origin.PublicPaths {
	t.Helper()
	p, err := origin.ParsePublicPaths(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// TestJudge holds one rule against all who may come. What is asked of a request
// and what of an answer under way stands side by side.
func TestJudge(t *testing.T) {
	t.Parallel()
	outage := errors.New("the store is away")
	run(t, func(t *testing.T, h *house) {
		rule := &session.SiteRule{
			Policy: policyOf(t, "*@example.com"), Public: mustPublic(t, "/public/*"),
			Session: session.Rule{Idle: time.Hour, Max: 8 * time.Hour}, Fresh: 4 * time.Hour,
		}
		long := &session.SiteRule{Policy: rule.Policy}
		token := machineAt(t, "backup", "app.example.com")
		token.Paths, token.Methods = *mustPublic(t, "/api/*"), []string{"GET"}
		person := func(a address.Address, age time.Duration) *session.Session {
			return &session.Session{AMR: []string{"email", "otp"}, Address: a, AuthTime: h.now().Add(-age)}
		}
		program := func(a address.Address) *session.Session { return &session.Session{Address: a, Machine: &token} }
		page := session.Target{Origin: site, Method: "GET", Path: "/", Escaped: "/"}
		api := session.Target{Origin: site, Method: "GET", Path: "/api/x", Escaped: "/api/x"}
		type judgement = session.Judgement
		yes := judgement{Decision: session.Allowed}
		no := judgement{Decision: session.NotAllowed}
		again := func(age time.Duration) judgement {
			return judgement{Decision: session.SignInFirst, MaxAge: age}
		}
		for name, c := range map[string]struct {
			rule    *session.SiteRule
			session *session.Session
			unused  time.Duration
			err     error
			target  session.Target
			begins  judgement // of a request
			goesOn  judgement // of its answer, later
		}{
			"nobody":                    {rule: rule, target: page, begins: again(0), goesOn: again(0)},
			"an outage":                 {rule: rule, err: outage, target: page, begins: judgement{Decision: session.CannotTell, Err: outage}, goesOn: judgement{Decision: session.CannotTell, Err: outage}},
			"an outage, somebody known": {rule: rule, session: person(alice, 0), err: outage, target: page, begins: judgement{Decision: session.CannotTell, Err: outage}, goesOn: judgement{Decision: session.CannotTell, Err: outage}},
			"admitted":                  {rule: rule, session: person(alice, 0), target: page, begins: yes, goesOn: yes},
			"the rule that is none":     {rule: new(session.SiteRule), session: person(alice, 0), target: page, begins: no, goesOn: no},
			"of nobody's":               {rule: rule, session: person(address.Address{}, 0), target: page, begins: no, goesOn: no},
			"somebody else":             {rule: rule, session: person(mal, 0), target: page, begins: no, goesOn: no},
			"not fresh":                 {rule: rule, session: person(alice, 4*time.Hour), target: page, begins: again(4 * time.Hour), goesOn: yes},
			"not fresh, somebody else":  {rule: rule, session: person(mal, 4*time.Hour), target: page, begins: no, goesOn: no},
			"fresh, without a mail":     {rule: rule, session: &session.Session{Address: alice, AuthTime: h.now(), AMR: []string{"otp"}}, target: page, begins: again(4 * time.Hour), goesOn: yes},
			"too old":                   {rule: rule, session: person(alice, 8*time.Hour), target: page, begins: again(8 * time.Hour), goesOn: again(8 * time.Hour)},
			"unused":                    {rule: rule, session: person(alice, 2*time.Hour), unused: time.Hour, target: page, begins: again(time.Hour), goesOn: yes},
			"no limits":                 {rule: long, session: person(alice, 100*time.Hour), unused: 50 * time.Hour, target: page, begins: yes, goesOn: yes},
			"configured token":          {rule: rule, session: program(address.Address{}), target: api, begins: yes, goesOn: yes},
			"elsewhere":                 {rule: rule, session: program(address.Address{}), target: page, begins: judgement{Decision: session.BeyondToken}, goesOn: judgement{Decision: session.BeyondToken}},
			"a person's token":          {rule: long, session: program(alice), target: api, begins: yes, goesOn: yes},
			"a token can't sign in":     {rule: rule, session: program(alice), target: api, begins: again(4 * time.Hour), goesOn: yes},
			"somebody else's token":     {rule: rule, session: program(mal), target: api, begins: no, goesOn: no},
		} {
			v := &session.Visitor{Session: c.session, LastUse: h.now().Add(-c.unused), Err: c.err}
			want(t, name+": "+decided(h.service.Sessions().Judge(c.rule, v, c.target)), name+": "+decided(c.begins))
			v.UnderWay = true
			want(t, name+": "+decided(h.service.Sessions().Judge(c.rule, v, c.target)), name+": "+decided(c.goesOn))
		}

		// What an operator is told is what happens to a new sign-in.
		for _, a := range []address.Address{alice, mal, {}} {
			told, _ := rule.Explain(a, page)
			happens := h.service.Sessions().Judge(rule, &session.Visitor{Session: person(a, 0), LastUse: h.now()}, page)
			want(t, told, happens.Decision == session.Allowed)
		}
		ok, by := rule.Explain(mal, session.Target{Origin: site, Path: "/public/x", Escaped: "/public/x"})
		want(t, ok, true)
		want(t, by, session.RulePublic)
		want(t, long.IsPublic(page), false)

		// The house's clock counts, not the machine's.
		sess := person(alice, 0)
		h.setClock(4 * time.Hour)
		want(t, decided(h.service.Sessions().Judge(rule, &session.Visitor{Session: sess, LastUse: h.now()}, page)), decided(again(4*time.Hour)))
		want(t, h.service.Sessions().IsFresh(sess, 4*time.Hour), false)
	})
}

func decided(j session.Judgement) string {
	names := map[session.Decision]string{
		session.NotAllowed: "not allowed", session.BeyondToken: "beyond the token", session.SignInFirst: "sign in",
		session.CannotTell: "cannot tell", session.Allowed: "allowed",
	}
	text := names[j.Decision] + " " + j.MaxAge.String()
	if j.Err != nil {
		text += " " + j.Err.Error()
	}
	return text
}
