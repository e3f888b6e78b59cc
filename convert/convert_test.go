package convert

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

var update = flag.Bool("update", false, "write the golden files anew")

// corpus lists the configurations of testdata by their path.
func corpus(t *testing.T, format string) (all []string) {
	t.Helper()
	for _, ending := range []string{"yml", "cfg", "env", "args"} {
		found, err := filepath.Glob("testdata/" + format + "/*." + ending)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

// source is a file of the corpus, with what its second line says: # flags: …
func source(t testing.TB, path string) Source {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	from := Source{Name: filepath.Base(path), Text: text, Read: func(name string) ([]byte, error) {
		if strings.HasPrefix(name, "/etc") {
			return nil, os.ErrNotExist
		}
		return os.ReadFile(filepath.Join(filepath.Dir(path), strings.TrimSuffix(filepath.Base(name), ".yml")))
	}}
	_, flags, _ := strings.Cut(string(text), "# flags: ")
	flags, _, _ = strings.Cut(flags, "\n")
	for words := strings.Fields(flags); strings.Contains(string(text), "# flags: ") && len(words) > 0; words = words[1:] {
		switch words[0] {
		case "--one-factor":
			from.OneFactor = true
		case "--people":
			from.Everybody = words[1:2]
		case "--host":
			from.Host = words[1]
		}
	}
	return from
}

// TestCorpus holds what becomes of each configuration of the corpus, and that no
// secret of one gets out: all of them have S3CRET in it.
func TestCorpus(t *testing.T) {
	n := 0
	for format, convert := range Formats {
		for _, path := range corpus(t, format) {
			n++
			result, err := convert(source(t, path))
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			var out strings.Builder
			out.WriteString(result.Caddyfile)
			for _, note := range result.Notes {
				fmt.Fprintf(&out, "## %s\n", note)
				if note.Line < 1 || note.File == "" || note.Words == "" || note.Why == "" {
					t.Errorf("%s: a note without place or reason: %+v", path, note)
				}
			}
			if strings.Contains(out.String(), "S3CRET") {
				t.Errorf("%s: a secret gets out:\n%s", path, out.String())
			}
			if *update {
				if err := os.WriteFile(path+".want", []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path + ".want")
			if err != nil || string(want) != out.String() {
				t.Errorf("%s: not as in %s.want, %v: make golden and read the diff\n%s", path, path, err, out.String())
			}
		}
	}
	if n < 40 {
		t.Errorf("the corpus has %d configurations, want at least 40", n)
	}
}

// TestEveryLineIsCarriedOrNamed: a key that nobody knows never vanishes.
func TestEveryLineIsCarriedOrNamed(t *testing.T) {
	for format, line := range map[string]string{"authelia": "\nunheard_of:\n  deep:\n    - also: S3CRET\n", "oauth2-proxy": "\nunheard_of = \"S3CRET\"\n"} {
		for _, path := range corpus(t, format) {
			from := source(t, path)
			switch filepath.Ext(path) {
			case ".env":
				line = "\nOAUTH2_PROXY_UNHEARD_OF=S3CRET\n"
			case ".args":
				line = "\n  - --unheard-of=S3CRET\n"
			}
			from.Text = append(from.Text, line...)
			result, err := Formats[format](from)
			if err != nil || !slices.ContainsFunc(result.Notes, func(n Note) bool { return strings.Contains(n.Words, "unheard_of") }) {
				t.Errorf("%s: unheard_of is not named: %v", path, err)
			}
		}
	}
}

// TestBadInput: what can't be read says where, and nothing of what stands there.
func TestBadInput(t *testing.T) {
	for text, want := range map[string]string{
		"access_control: [S3CRET": ":1: from here on it is no YAML",
		"a: 1\n  b: S3CRET\n":     "from here on it is no YAML",
		"just S3CRET":             "no YAML document",
		"":                        "no YAML document",
		"access_control:\n  rules: []\n  rules: []\n": ":3: rules is written twice",
		"foo: S3CRET":                                                      "neither access_control nor session",
		"session: &a\n  x: *a\n":                                           "alias within itself",
		"session: {<<: {secret: S3CRET}}":                                  "merge key",
		"session: {'S3CRET !': 1, 'S3CRET !': 1}":                          "a key is written twice",
		bomb("[x,x,x,x,x,x,x,x,x,x]", "[*,*,*,*,*,*,*,*,*,*]"):             "more keys than any configuration",
		bomb("{a: x}", "{a: *, b: *, c: *, d: *, e: *, f: *, g: *, h: *}"): "more keys than any configuration",
		"session: {" + manyKeys() + "}":                                    "more keys than any configuration",
	} {
		_, err := authelia(Source{Name: "c.yml", Text: []byte(text), Read: os.ReadFile})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3CRET") || !strings.HasPrefix(err.Error(), "c.yml:") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"provider = \"google\"\nS3CRET !!\n":   "c.cfg:2: this is no option",
		"upstreams = [\"S3CRET\n":              "c.cfg:1: upstreams: its list has no end",
		"cookie_secret = \"S3CRET\" more\n":    "c.cfg:1: cookie_secret: its value can't be read",
		"provider = \"a\"\nprovider = \"b\"\n": "c.cfg:2: provider is written twice",
		"# nothing\n":                          "no option of oauth2-proxy",
		"ExecStart=/usr/bin/oauth2-proxy --allowed-group=S3CRET\n--email-domain=*\n": "c.cfg:1: this is no option",
		"[\"--allowed-group=S3CRET\",\n\"--email-domain=*\"]\n":                      "c.cfg:1: this is no option",
		"--upstream=http://a --allowed-group=S3CRET\n--email-domain=*\n":             "c.cfg:1: upstream: another argument follows",
		"--email-domain=*\nallowed_groups: oauth2-proxy-S3CRET\n":                    "c.cfg:2: this is no option",
		"[other]\nemail_domains = [\"*\"]\n":                                         "c.cfg:1: this is no option",
	} {
		_, err := oauth2Proxy(Source{Name: "c.cfg", Text: []byte(text), Read: os.ReadFile})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// bomb is a document in which each of ten anchors stands for many of the one before.
func bomb(first, next string) string {
	text := "a0: &0 " + first + "\n"
	for n := range 9 {
		text += fmt.Sprintf("a%d: &%[1]d %s\n", n+1, strings.ReplaceAll(next, "*", fmt.Sprint("*", n)))
	}
	return text + "access_control: {rules: *9}\n"
}

func manyKeys() string {
	var text strings.Builder
	for n := range mostKeys + 1 {
		fmt.Fprintf(&text, "k%d: 1, ", n)
	}
	return text.String()
}

// An asked is a request as both sides see it.
type asked struct {
	host, path, query, method, user string
	client                          netip.Addr
}

var (
	someHosts   = []string{"app.example.com", "wiki.example.com", "secret.example.com", "dev-a.example.com", "john.example.com", "other.example.com", "public.example.com", "example.com", "elsewhere.test"}
	somePaths   = []string{"/", "/api", "/api/x", "/apix", "/api/admin/x", "/admin", "/static/a.png", "/ping", "/feed", "/assets/x"}
	someClients = []string{"192.0.2.1", "192.168.0.9", "10.1.2.3", "192.168.1.7", "1.1.1.1"}
	someUsers   = []string{"", "john", "harry", "bob", "james"}
)

func everyAsked(hosts, users []string, check func(asked)) {
	for _, host := range hosts {
		for _, path := range somePaths {
			for _, query := range []string{"", "x=1"} {
				for _, method := range []string{"GET", "OPTIONS", "DELETE"} {
					for _, client := range someClients {
						for _, user := range users {
							check(asked{host, path, query, method, user, netip.MustParseAddr(client)})
						}
					}
				}
			}
		}
	}
}

// model is Authelia's decision as its documentation has it, from the text itself.
type model struct {
	AccessControl struct {
		DefaultPolicy string `yaml:"default_policy"`
		Networks      []struct {
			Name     string
			Networks words
		}
		Rules []struct {
			Domain    words
			Regex     words `yaml:"domain_regex"`
			Policy    string
			Subject   yaml.Node
			Resources words
			Methods   words
			Networks  words
			Query     any
		}
	} `yaml:"access_control"`
	Definitions struct{ Network map[string]words }
	users       map[string]struct {
		Email    string
		Groups   []string
		Disabled bool
	}
}

type words []string

func (w *words) UnmarshalYAML(n *yaml.Node) error {
	var one string
	if n.Decode(&one) == nil {
		*w = words{one}
		return nil
	}
	return n.Decode((*[]string)(w))
}

func readModel(t testing.TB, text []byte, users string) *model {
	t.Helper()
	m := new(model)
	file := struct {
		Users *map[string]struct {
			Email    string
			Groups   []string
			Disabled bool
		}
	}{&m.users}
	if err := yaml.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	people, err := os.ReadFile(users)
	if err == nil {
		err = yaml.Unmarshal(people, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lets is the policy for a request: the most that it could be, where a rule says
// what this model does not know.
func (m *model) lets(a asked, oneFactor bool) bool {
	policy := m.AccessControl.DefaultPolicy
	for _, r := range m.AccessControl.Rules {
		if (len(r.Domain) > 0 || len(r.Regex) > 0) && !m.host(r.Domain, r.Regex, a) ||
			len(r.Resources) > 0 && !slices.ContainsFunc(r.Resources, func(re string) bool {
				return matches(re, a.path+map[bool]string{true: "?" + a.query}[a.query != ""])
			}) || len(r.Methods) > 0 && !slices.Contains(r.Methods, a.method) || r.Query != nil || len(r.Networks) > 0 && !m.network(r.Networks, a.client) {
			continue
		}
		if r.Subject.Kind != 0 && !m.subject(&r.Subject, a.user) {
			continue
		}
		policy = r.Policy
		break
	}
	switch policy {
	case "bypass":
		return true
	case "one_factor":
		return a.user != "" && !m.users[a.user].Disabled
	case "two_factor":
		return oneFactor && a.user != "" && !m.users[a.user].Disabled
	}
	return false
}

func matches(expression, text string) bool {
	re, err := regexp.Compile(expression)
	return err == nil && re.MatchString(text)
}

func (m *model) host(domains, expressions words, a asked) bool {
	groups := m.users[a.user].Groups
	for _, domain := range domains {
		suffix, star := strings.CutPrefix(domain, "*.")
		switch {
		case domain == a.host, star && strings.HasSuffix(a.host, "."+suffix),
			strings.HasPrefix(domain, "{user}") && a.user != "" && a.host == a.user+strings.TrimPrefix(domain, "{user}"),
			slices.ContainsFunc(groups, func(g string) bool { return a.host == strings.Replace(domain, "{group}", g, 1) }):
			return true
		}
	}
	return slices.ContainsFunc(expressions, func(e string) bool {
		re, err := regexp.Compile(e)
		if err != nil {
			return false
		}
		found := re.FindStringSubmatch(a.host)
		for i, name := range re.SubexpNames() {
			if found != nil && (name == "User" && found[i] != a.user || name == "Group" && !slices.Contains(groups, found[i])) {
				return false
			}
		}
		return found != nil
	})
}

func (m *model) network(names words, client netip.Addr) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		texts := m.Definitions.Network[name]
		for _, n := range m.AccessControl.Networks {
			if n.Name == name {
				texts = n.Networks
			}
		}
		return slices.ContainsFunc(append(texts, name), func(text string) bool {
			p, err := network(text)
			return err == nil && p.Contains(client)
		})
	})
}

func (m *model) subject(n *yaml.Node, user string) bool {
	one := func(s string) bool {
		return user != "" && (s == "user:"+user || strings.HasPrefix(s, "group:") && slices.Contains(m.users[user].Groups, s[6:]))
	}
	if n.Kind == yaml.ScalarNode {
		return one(n.Value)
	}
	return slices.ContainsFunc(n.Content, func(item *yaml.Node) bool {
		if item.Kind == yaml.ScalarNode {
			return one(item.Value)
		}
		return len(item.Content) > 0 && !slices.ContainsFunc(item.Content, func(s *yaml.Node) bool { return !one(s.Value) })
	})
}

// written is the decision of the Caddyfile, read from its text.
type caddyfile struct {
	groups map[string][]string
	sites  []site
}

func readCaddyfile(text string) *caddyfile {
	c := &caddyfile{groups: map[string][]string{}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) > 0 && words[len(words)-1] == "{" {
			words = words[:len(words)-1]
		}
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "group":
			c.groups[words[1]] = append(c.groups[words[1]], words[2:]...)
		case "site":
			c.sites = append(c.sites, site{host: words[1], allow: words[2:]})
		case "deny":
			c.sites[len(c.sites)-1].deny = words[1:]
		case "public":
			c.sites[len(c.sites)-1].public = words[1:]
		case "trust":
			c.sites[len(c.sites)-1].trust = words[1:]
		}
	}
	return c
}

func (c *caddyfile) lets(t testing.TB, a asked, email string) bool {
	var of *site
	for i := range c.sites {
		p, err := origin.ParseSitePattern(c.sites[i].host)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := origin.Parse("https://" + a.host)
		if p.Covers(o) && (of == nil || p.Exact()) {
			of = &c.sites[i]
		}
	}
	if of == nil {
		return false
	}
	public, err := origin.ParsePublicPaths(of.public)
	if err != nil {
		t.Fatal(err)
	}
	home := slices.ContainsFunc(of.trust, func(n string) bool { return netip.MustParsePrefix(n).Contains(a.client) })
	return public.Match(a.path, a.path) || home || c.has(of.allow, email) && !c.has(of.deny, email)
}

func (c *caddyfile) has(who []string, email string) bool {
	return email != "" && slices.ContainsFunc(who, func(w string) bool {
		domain, star := strings.CutPrefix(w, "*@")
		return w == email || w == "any" || star && strings.HasSuffix(email, "@"+domain) || c.groups[w] != nil && c.has(c.groups[w], email)
	})
}

// usersOf is the file of the corpus that a configuration of Authelia names.
func usersOf(text []byte) string {
	if m := regexp.MustCompile(`/(users_\w+)\.yml`).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return "users_database"
}

// later lets somebody new into each group of the Caddyfile, as its operator would,
// and into the source's group of that name alone; user-bad stands for one person.
func (m *model) later(c *caddyfile) (users []string) {
	for group, members := range c.groups {
		name, one := strings.CutPrefix(group, "user-")
		if name == "" || strings.HasPrefix(group, "user-") && m.users[name].Email != "" || strings.Contains(strings.Join(members, " "), "*@") {
			continue
		}
		user := m.users["later-"+group]
		user.Email = "later-" + strings.ToLower(group) + "@example.com"
		if group != "everybody" {
			user.Groups = []string{group}
		}
		if !one {
			name = "later-" + group
		}
		m.users[name] = user
		c.groups[group] = append(slices.Clip(members), user.Email)
		users = append(users, name)
	}
	slices.Sort(users)
	return users
}

// TestNothingIsOpenThatWasClosed asks both sides the same: whoever gets in by the
// Caddyfile got in by Authelia's rules.
func TestNothingIsOpenThatWasClosed(t *testing.T) {
	let := 0
	for _, path := range corpus(t, "authelia") {
		from := source(t, path)
		result, err := authelia(from)
		if err != nil {
			t.Fatal(err)
		}
		c, m := readCaddyfile(result.Caddyfile), readModel(t, from.Text, "testdata/authelia/"+usersOf(from.Text))
		hosts := slices.Clone(someHosts)
		for _, s := range c.sites {
			hosts = append(hosts, strings.Replace(s.host, "*", "any", 1))
		}
		users := someUsers
		if !strings.Contains(path, "alike") { // whose groups have other names here
			users = append(m.later(c), users...)
		}
		everyAsked(hosts, users, func(a asked) {
			ours := c.lets(t, a, strings.ToLower(m.users[a.user].Email))
			if ours {
				let++
			}
			if a.user == "james" && len(from.Everybody) > 0 {
				return // he is disabled in a file that this one does not use
			}
			if ours && !m.lets(a, from.OneFactor) && !t.Failed() {
				t.Errorf("%s opens what was closed: %+v\n%s", path, a, result.Caddyfile)
			}
		})
	}
	if let < 1000 {
		t.Errorf("only %d requests pass: what is open is lost", let)
	}
}

// FuzzRules does the same for rules that nobody would write: each byte is a choice.
func FuzzRules(f *testing.F) {
	for seed := range 60 {
		var b []byte
		for i := range 40 {
			b = append(b, byte(seed*37+i*i*11+seed*i*7))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		next := func(options ...string) string {
			if len(b) == 0 {
				return options[0]
			}
			o := options[int(b[0])%len(options)]
			b = b[1:]
			return o
		}
		text := "access_control:\n  default_policy: " + next("deny", "one_factor", "bypass", "two_factor") + "\n  rules:\n"
		for i := 0; i < 6 && (i == 0 || len(b) > 0); i++ {
			text += "    - " + next("domain: app.example.com", "domain: '*.example.com'", "domain: ['wiki.example.com', app.example.com]", "domain_regex: '^(app|wiki)\\.example\\.com$'", "domain_regex: '^(?P<User>\\w+)\\.example\\.com$'", "domain: '{user}.example.com'") + "\n" +
				"      policy: " + next("one_factor", "deny", "bypass", "two_factor") + "\n" +
				next("", "", "      subject: 'group:dev'\n", "      subject: 'user:bob'\n", "      subject: [['group:admins', 'group:dev'], ['user:harry']]\n") +
				next("", "", "", "      resources: ['^/api([/?].*)?$']\n", "      resources: '^/admin'\n", "      resources: ['^/static/', '^/ping$']\n", "      resources: 'png'\n") +
				next("", "", "", "      networks: '192.168.0.0/16'\n", "      networks: [10.0.0.0/8, 1.1.1.1]\n") +
				next("", "", "", "", "      methods: [GET]\n", "      methods: OPTIONS\n")
		}
		text += "session:\n  domain: example.com\n"
		from := Source{Name: "c.yml", Text: []byte(text), Users: "testdata/authelia/users_database", Read: os.ReadFile}
		result, err := authelia(from)
		if err != nil {
			t.Fatal(err)
		}
		c, m := readCaddyfile(result.Caddyfile), readModel(t, from.Text, from.Users)
		everyAsked([]string{"app.example.com", "wiki.example.com", "john.example.com", "example.com"}, append(m.later(c), someUsers...), func(a asked) {
			if c.lets(t, a, strings.ToLower(m.users[a.user].Email)) && !m.lets(a, false) && !t.Failed() {
				t.Errorf("opens what was closed: %+v\n%s\n%s", a, text, result.Caddyfile)
			}
		})
	})
}
