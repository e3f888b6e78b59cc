package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// mustWho reads entries separated by spaces.
func mustWho(t testing.TB, entries string) []Who {
	t.Helper()
	var list []Who
	for _, entry := range strings.Fields(entries) {
		who, err := ParseWho(entry)
		if err != nil {
			t.Fatalf("ParseWho(%q): %v", entry, err)
		}
		list = append(list, who)
	}
	return list
}

func mustAddress(t testing.TB, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatalf("ParseAddress(%q): %v", s, err)
	}
	return a
}

func mustGroups(t testing.TB, lists *Lists, named map[string]string) *Groups {
	t.Helper()
	parsed := map[string][]Who{}
	for name, entries := range named {
		parsed[name] = mustWho(t, entries)
	}
	g, err := NewGroups(parsed, lists)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustPolicy(t testing.TB, allow, deny string, g *Groups) *Policy {
	t.Helper()
	p, err := Compile(mustWho(t, allow), mustWho(t, deny), g)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseWho(t *testing.T) {
	for in, want := range map[string]string{
		"any":                        "any",
		"alice@example.test":         "alice@example.test",
		"Alice@Example.TEST":         "alice@example.test",
		"*@example.test":             "*@example.test",
		"*@EXAMPLE.test":             "*@example.test",
		"*@bücher.test":              "*@xn--bcher-kva.test",
		"staff":                      "staff",
		"Staff_2-b":                  "Staff_2-b",
		"file:/etc/people.txt":       "file:/etc/people.txt",
		"file:people with space.txt": "file:people with space.txt",
	} {
		if got, err := ParseWho(in); err != nil || got.String() != want {
			t.Errorf("ParseWho(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

// Whoever gets it wrong reads what to write instead, and that works.
func TestParseWhoTellsWhatToWrite(t *testing.T) {
	for in, want := range map[string][2]string{
		"*":                      {"*@example.com", "any"},
		"*@*":                    {"*@example.com", "any"},
		"*@":                     {"*@example.com", "any"},
		"":                       {"*@example.com", "alice@example.com"},
		"@example.test":          {"*@example.test", "alice@example.test"},
		"@staff":                 {"staff", "*@example.com"},
		"@":                      {"*@example.com", "any"},
		"alice@":                 {"alice@example.com", "alice"},
		"example.test":           {"*@example.test", "alice@example.test"},
		"*.example.test":         {"*@example.test", "*@sub.example.test"},
		"*@*.example.test":       {"*@example.test", "*@sub.example.test"},
		"*@.example.test":        {"*@example.test", "*@sub.example.test"},
		"*@example.test.":        {"*@example.test", "*@sub.example.test"},
		"*@localhost":            {"*@example.com", "*@sub.localhost"},
		"*@a.test,b.test":        {"*@example.com", "alice@example.com"},
		".*@example.test":        {"*@example.com", "alice@example.com"},
		"alice@example":          {"*@example.com", "alice@example.com"},
		"a@b@example.test":       {"*@example.com", "alice@example.com"},
		"file:":                  {"file:/etc/gatehouse/people.txt", "*@example.com"},
		"/etc/people.txt":        {"file:/etc/people.txt", "alice@example.com"},
		"./people.txt":           {"file:./people.txt", "alice@example.com"},
		"two words":              {"*@example.com", "alice@example.com"},
		"stäff":                  {"*@example.com", "alice@example.com"},
		"a@x.test,b@x.test":      {"a@x.test", "b@x.test"},
		"{env.WHO}":              {"*@example.com", "alice@example.com"},
		"*@" + "x\ny.test":       {"*@example.com", "alice@example.com"},
		"@" + "example.test\r\n": {"*@example.com", "alice@example.com"},
	} {
		_, err := ParseWho(in)
		bad, ok := err.(*WhoError)
		if !ok || bad.Try != want {
			t.Errorf("ParseWho(%q): %+v; want to try %q", in, err, want)
			continue
		}
		text := bad.Error()
		if !strings.HasSuffix(text, "\n    gatehouse "+want[0]+"\n    gatehouse "+want[1]) || in != "" && strings.Contains(bad.Problem, in) {
			t.Errorf("ParseWho(%q) says %q", in, text)
		}
		for _, try := range bad.Try {
			if _, err := ParseWho(try); err != nil {
				t.Errorf("ParseWho(%q) suggests %q: %v", in, try, err)
			}
		}
	}
}

func TestParseWhoList(t *testing.T) {
	if _, err := ParseWhoList(nil); err == nil || !strings.HasSuffix(err.Error(), "\n    gatehouse *@example.com\n    gatehouse any") {
		t.Errorf("nobody: %v", err)
	}
	if _, err := ParseWhoList([]string{"any", "*"}); err == nil {
		t.Error("a bad entry among good ones passed")
	}
	if list, err := ParseWhoList([]string{"staff", "any"}); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	bad := &WhoError{Problem: "x", Try: [2]string{"a", "b"}}
	if got, want := bad.For("deny"), "x; write for example\n    deny a\n    deny b"; got != want {
		t.Errorf("For(deny) = %q, want %q", got, want)
	}
}

func TestPolicy(t *testing.T) {
	g := mustGroups(t, NewLists(nil), map[string]string{
		"ops":    "olga@ops.test",
		"staff":  "ops *@staff.test",
		"others": "ops mallory@staff.test",
		"all":    "any",
	})
	for _, c := range []struct {
		allow, deny, address string
		allowed              bool
		rule                 string
	}{
		{"alice@example.test", "", "alice@example.test", true, "alice@example.test"},
		{"alice@example.test", "", "bob@example.test", false, NotAllowed},
		{"alice@example.test", "", "alice@example.test.evil.test", false, NotAllowed},
		{"*@example.test", "", "bob@example.test", true, "*@example.test"},
		{"*@example.test", "", "bob@sub.example.test", false, NotAllowed},
		{"*@example.test", "", "bob@evilexample.test", false, NotAllowed},
		{"*@example.test", "", "bob@example.test.evil.test", false, NotAllowed},
		{"any", "", "x@y.test", true, "any"},
		{"any alice@example.test", "", "alice@example.test", true, "alice@example.test"},
		{"staff", "", "bob@staff.test", true, "staff"},
		{"staff", "", "olga@ops.test", true, "staff"},
		{"ops", "", "bob@staff.test", false, NotAllowed},
		{"others staff", "", "olga@ops.test", true, "others"},
		{"all", "", "x@y.test", true, "all"},
		{"any", "alice@example.test", "alice@example.test", false, "alice@example.test"},
		{"alice@example.test", "*@example.test", "alice@example.test", false, "*@example.test"},
		{"any", "others", "mallory@staff.test", false, "others"},
		{"any", "others", "olga@ops.test", false, "others"},
		{"any", "others", "bob@staff.test", true, "any"},
		{"any", "any", "alice@example.test", false, "any"},
		{"", "", "alice@example.test", false, NotAllowed},
		{"", "bob@example.test", "alice@example.test", false, NotAllowed},
	} {
		p := mustPolicy(t, c.allow, c.deny, g)
		a := mustAddress(t, c.address)
		if allowed, rule := p.Explain(a); allowed != c.allowed || rule != c.rule {
			t.Errorf("allow %q, deny %q: %s is %v by %q; want %v by %q", c.allow, c.deny, a, allowed, rule, c.allowed, c.rule)
		}
		if p.Admits(a) != c.allowed {
			t.Errorf("allow %q, deny %q: Admits(%s) is not %v", c.allow, c.deny, a, c.allowed)
		}
	}
}

func TestPolicyAdmitsNobodyByDefault(t *testing.T) {
	a := mustAddress(t, "alice@example.test")
	zeroWho, err := Compile([]Who{{}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Policy{"nil": nil, "zero": {}, "empty": mustPolicy(t, "", "", nil), "a zero entry": zeroWho} {
		if p.Admits(a) {
			t.Errorf("the %s policy admits somebody", name)
		}
		if allowed, rule := p.Explain(a); allowed || rule != NotAllowed {
			t.Errorf("the %s policy: %v by %q", name, allowed, rule)
		}
	}
	everybody := mustPolicy(t, "any", "", nil)
	if allowed, _ := everybody.Explain(address.Address{}); allowed || everybody.Admits(address.Address{}) {
		t.Error("no address is admitted")
	}
}

func TestGroupsOf(t *testing.T) {
	g := mustGroups(t, NewLists(nil), map[string]string{"b": "a *@b.test", "a": "alice@a.test", "c": "carl@c.test"})
	for address, want := range map[string][]string{"alice@a.test": {"a", "b"}, "x@b.test": {"b"}, "x@y.test": nil} {
		if got := g.Of(mustAddress(t, address)); !slices.Equal(got, want) {
			t.Errorf("%s is in %v, want %v", address, got, want)
		}
	}
	var none *Groups
	if none.Of(mustAddress(t, "a@b.test")) != nil || g.Of(address.Address{}) != nil {
		t.Error("somebody is in no group's groups")
	}
}

func TestGroupErrors(t *testing.T) {
	for want, named := range map[string]map[string]string{
		"(a > b > c > a)":                      {"a": "b", "b": "c", "c": "x@y.test a"},
		"(self > self)":                        {"self": "self"},
		`group staff: "opps": no group`:        {"staff": "opps", "ops": "a@b.test"},
		"there is ops, staff":                  {"staff": "opps", "ops": "a@b.test"},
		"a group can't be called any":          {"any": "a@b.test"},
		`group name "st aff": write letters`:   {"st aff": "a@b.test"},
		`group name "": write letters`:         {"": "a@b.test"},
		`group name "*@x.test": write letters`: {"*@x.test": "a@b.test"},
	} {
		parsed := map[string][]Who{}
		for name, entries := range named {
			parsed[name] = mustWho(t, entries)
		}
		if _, err := NewGroups(parsed, NewLists(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v; want %q", named, err, want)
		}
	}
}

func TestCompileUnknownGroup(t *testing.T) {
	g := mustGroups(t, NewLists(nil), map[string]string{"staff": "a@b.test"})
	for _, side := range []string{"allow", "deny"} {
		lists := map[string][]Who{side: mustWho(t, "any staf")}
		_, err := Compile(lists["allow"], lists["deny"], g)
		bad, ok := err.(*WhoError)
		if !ok || bad.Entry != "staf" || bad.Try != [2]string{"staff", "alice@example.com"} || !strings.Contains(bad.Problem, "group staf alice@example.com") {
			t.Errorf("%s: %v", side, err)
		}
	}
	if _, err := Compile(mustWho(t, "staff"), nil, nil); err == nil {
		t.Error("a group passed where there are none")
	}
}

// Many ways to the same group, and circles, must not cost more than the number
// of groups.
func TestPolicyManyGroups(t *testing.T) {
	named := map[string]string{"g0": "last@g.test"}
	for i := 1; i < 26; i++ {
		below := string(rune('a' + i - 1))
		if i == 1 {
			below = "g0"
		}
		named[string(rune('a'+i))] = below
	}
	named["top"] = strings.Join([]string{"b", "c", "d", "e", "f", "z"}, " ")
	g := mustGroups(t, NewLists(nil), named)
	p := mustPolicy(t, "top", "", g)
	if allowed, rule := p.Explain(mustAddress(t, "last@g.test")); !allowed || rule != "top" {
		t.Errorf("%v by %q", allowed, rule)
	}
	if n := len(p.sides().allow); n != 1+27 {
		t.Errorf("%d lists are looked through for 27 groups", n)
	}
}

func TestAdmitsDoesNotAllocate(t *testing.T) {
	g := mustGroups(t, NewLists(nil), map[string]string{"staff": "*@staff.test", "ops": "olga@ops.test"})
	p := mustPolicy(t, "alice@example.test staff ops", "mallory@staff.test", g)
	yes, no := mustAddress(t, "bob@staff.test"), mustAddress(t, "mallory@staff.test")
	if allocs := testing.AllocsPerRun(100, func() {
		if !p.Admits(yes) || p.Admits(no) {
			t.Error("wrong answer")
		}
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkAdmits(b *testing.B) {
	g := mustGroups(b, NewLists(nil), map[string]string{"staff": "*@staff.test", "ops": "olga@ops.test"})
	p := mustPolicy(b, "alice@example.test staff ops", "mallory@staff.test", g)
	a := mustAddress(b, "bob@staff.test")
	for b.Loop() {
		p.Admits(a)
	}
}
