package convert

import (
	"net/url"
	"slices"
	"strings"
)

// client is an app that signs people in with OpenID Connect.
type client struct {
	id, name  string
	redirects []string
	public    bool
	pkce      string
	consent   bool
	allow     []string
}

func (c *fromAuthelia) readClients() {
	oidc := c.root.at("identity_providers", "oidc")
	for _, at := range oidc.at("clients").items() {
		at.done()
		cl := client{id: either(at, "client_id", "id"), name: either(at, "client_name", "description"), public: at.at("public").isTrue(), pkce: "optional"}
		if strings.Trim(strings.Map(idLetter, cl.id), "\x00") != cl.id || cl.id == "" {
			c.note(at.at("client_id"), "the id of an app has letters, digits, - and _ here")
			continue
		}
		if !plain(cl.name) || len(cl.name) > 64 || strings.ContainsAny(cl.name, "/@:.") {
			cl.name = ""
		}
		if cl.public || at.at("require_pkce").isTrue() {
			cl.pkce = "required"
		}
		cl.consent = at.at("consent_mode").text != "implicit"
		uris := at.at("redirect_uris").all()
		for _, uri := range uris {
			u, err := url.Parse(uri)
			if err != nil || !plain(uri) || u.Scheme != "https" || !IsHost(u.Hostname()) || u.User != nil || u.Fragment != "" || strings.ContainsAny(uri, "* ") {
				c.note(at.at("redirect_uris"), "only https addresses without a star are carried: see docs/oidc.md for others")
				continue
			}
			cl.redirects = append(cl.redirects, uri)
		}
		if len(cl.redirects) == 0 {
			if len(uris) == 0 {
				c.note(at, "without redirect_uris the client is left out")
			}
			continue
		}
		cl.allow = c.clientPeople(oidc, at)
		if !cl.public {
			secret := at.at("client_secret")
			if secret.none {
				secret = at.at("secret")
			}
			c.note(secret, "no secret is written out, so that a new one is needed: the app waits as a comment")
		}
		for key, why := range map[string]string{"sector_identifier_uri": "see subject pairwise in docs/oidc.md", "claims_policy": "claims are those of docs/oidc.md", "authorization_signed_response_alg": "answers are not signed", "request_object_signing_alg": "request objects are not taken"} {
			if k := at.at(key); !k.none && k.text != "none" {
				c.note(k, "%s", why)
			}
		}
		c.clients = append(c.clients, cl)
	}
	oidc.at("authorization_policies").done()
	oidc.at("claims_policies").done()
	oidc.at("scopes").done()
}

func either(at *tree, keys ...string) string {
	for _, key := range keys {
		if text := at.at(key).one(); text != "" {
			return text
		}
	}
	return ""
}

func idLetter(r rune) rune {
	if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r
	}
	return 0
}

// clientPeople works out who may sign in to a client: by a policy of Authelia's
// own names, or one that is defined, whose rules read as those of a host.
func (c *fromAuthelia) clientPeople(oidc, at *tree) []string {
	policy := at.at("authorization_policy")
	name := policy.text
	if name == "" {
		name = "two_factor" // as Authelia has it
	}
	const host = "client.invalid"
	var rules []*rule
	if own := oidc.at("authorization_policies", name); !own.none {
		rules = c.readRules(own.at("rules"), false)
		for _, r := range rules {
			r.odd = r.odd || len(r.domains)+len(r.regexes) > 0
			r.domains, r.regexes = []string{host}, nil
			c.tell(r)
		}
		if name = own.at("default_policy").text; name == "" {
			name = "two_factor"
		}
		policy = own.at("default_policy")
	}
	if name == "two_factor" {
		c.twoFactors(policy)
	}
	s := c.world.siteFor(host, rules, name, c.groups.name)
	if len(s.deny) > 0 {
		c.note(policy, "it refuses groups whose people are not known: the app is closed")
		return nil
	}
	return c.world.shorter(s, rules, name, c.inSource, c.groups.name)
}

// write writes the Caddyfile.
func (c *fromAuthelia) write() {
	login := c.portal()
	c.comment(`Made from %s by gatehouse convert. People sign in with a code or link by
email, in place of their password. Try it beside Authelia before you leave it:
docs/moving.md says how. It stands on the machine of your proxy; where the proxy
is another one, write its address into both trusted_proxies and take bind away.`, visible(c.Name))
	c.block(func() {
		for _, port := range []string{c.port, "8081"} {
			c.block(func() {
				c.line("trusted_proxies static 127.0.0.1/32")
				c.line("trusted_proxies_strict")
			}, "servers", "127.0.0.1:"+port)
		}
		c.block(c.global, "gatehouse")
	})
	c.line()
	c.comment("What the proxy asks, as it asked Authelia.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.block(func() {
			c.line("login", "https://"+login.Host)
			for _, s := range c.sites {
				c.writeSite(s)
			}
			if len(c.sites) == 0 {
				c.line("site closed.invalid", Nobody)
			}
		}, "gatehouse_authz")
	}, "http://:"+c.port)
	c.line()
	c.comment("Where people sign in: have the proxy lead this host here.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.line("gatehouse_portal")
	}, "http://"+login.Hostname()+":8081")
}

func (c *fromAuthelia) global() {
	c.mail()
	if len(c.domains) > 0 {
		c.line("domain", c.domains[0])
		for _, other := range c.domains[1:] {
			c.comment("%s: one domain has the cookie, and others are signed in by hand-over.", other)
		}
	}
	c.lifetime()
	used := map[string]bool{}
	for _, s := range c.sites {
		for _, who := range slices.Concat(s.allow, s.deny, s.later) {
			used[who] = true
		}
	}
	for _, cl := range c.clients {
		for _, who := range cl.allow {
			used[who] = true
		}
	}
	if used[everybody] && c.world.known {
		c.writeGroup(everybody, c.world.addresses(""))
	} else if used[everybody] {
		c.writeGroup(everybody, c.people())
	}
	for _, subject := range c.inSource {
		var members []string
		if c.world.known {
			members = c.world.addresses(strings.TrimPrefix(subject, "group:"))
		}
		if name := c.groups.name(subject); used[name] {
			c.writeGroup(name, members)
		}
	}
	for _, cl := range c.clients {
		if cl.public {
			c.writeClient(cl)
		} else {
			c.comment("The app's secret: openssl rand -hex 32")
			c.asComment(func() { c.writeClient(cl) })
		}
	}
}

func (c *fromAuthelia) writeGroup(name string, members []string) {
	if len(members) == 0 {
		c.comment("Nobody yet: write who they are, as in *@example.com or file:/etc/gatehouse/people.txt")
		members = []string{Nobody}
	}
	for part := range slices.Chunk(members, 4) {
		c.line("group", name, strings.Join(part, " "))
	}
}

func (c *fromAuthelia) writeClient(cl client) {
	c.block(func() {
		if !cl.public {
			c.line("secret {file./etc/gatehouse/" + cl.id + ".secret}")
		}
		if cl.name != "" {
			c.line("name", `"`+cl.name+`"`)
		}
		c.line("redirect_uri", strings.Join(cl.redirects, " "))
		if len(cl.allow) == 0 {
			cl.allow = []string{Nobody}
		}
		c.line("allow", strings.Join(cl.allow, " "))
		c.line("pkce", cl.pkce)
		if cl.consent {
			c.line("consent on")
		}
	}, "app", cl.id)
}

func (c *fromAuthelia) writeSite(s site) {
	if len(s.later) > 0 {
		c.comment("Fill in the people of its deny first, then write %s for %s.", strings.Join(s.later, " "), Nobody)
	}
	if len(s.allow) == 0 {
		s.allow = []string{Nobody}
	}
	c.block(func() {
		c.maybe("deny", s.deny...)
		c.maybe("public", s.public...)
		c.maybe("trust", s.trust...)
	}, append([]string{"site", s.host}, s.allow...)...)
}

// mail writes how mails go: as Authelia's did, but for the password.
func (c *fromAuthelia) mail() {
	name, address := c.sender()
	smtp := c.root.at("notifier", "smtp")
	if file := c.root.at("notifier", "filesystem"); !file.none {
		file.done()
		c.note(file, "mails that lie in a file let whoever reads it sign in: name a mail server in mail smtp")
	}
	server, implicit := c.mailServer(smtp)
	if server == "" {
		c.comment("No mail goes out until this names your mail server.")
		server = "localhost:587"
	}
	user := smtp.at("username")
	c.block(func() {
		if implicit {
			c.line("tls implicit")
		}
		if hello := smtp.at("identifier"); IsHost(hello.one()) {
			c.line("hello", hello.text)
		}
		if name := smtp.at("tls", "server_name"); IsHost(name.one()) {
			c.line("server_name", name.text)
		}
		if user.one() != "" && plain(user.text) {
			c.comment("Take the # away once the password stands in this file alone, readable by Gatehouse.")
			c.asComment(func() {
				c.line("username", quoted(user.text))
				c.line("password {file./etc/gatehouse/smtp-password}")
			})
			c.note(smtp.at("password"), "no secret is written out: put it into /etc/gatehouse/smtp-password and take the # away")
		}
	}, "mail smtp", server)
	if user.text != "" && !plain(user.text) {
		c.note(user, "this can't stand in a Caddyfile as it is: write username and password in mail smtp")
	}
	smtp.at("password").done()
	if name == "" {
		name = "Sign-in"
	}
	c.line("from", `"`+name+`"`, address)
	for _, key := range []string{"disable_require_tls", "disable_starttls"} {
		if smtp.at(key).isTrue() {
			c.note(smtp.at(key), "mails go out encrypted, or not at all; write tls off for a server on this machine")
		}
	}
	if smtp.at("tls", "skip_verify").isTrue() {
		c.note(smtp.at("tls", "skip_verify"), "the server's certificate is checked: name its authority with ca")
	}
}

// mailServer reads smtp://host:port, submission://, submissions://, or host and port.
func (c *fromAuthelia) mailServer(smtp *tree) (server string, implicit bool) {
	host, port := smtp.at("host").one(), smtp.at("port").one()
	at := smtp.at("address")
	if text := at.one(); text != "" {
		u, err := url.Parse(text)
		if err != nil {
			u = &url.URL{}
		}
		usual := map[string]string{"smtp": "25", "submission": "587", "submissions": "465"}
		host, port = u.Hostname(), u.Port()
		if port == "" {
			port = usual[u.Scheme]
		}
		implicit = u.Scheme == "submissions" && port != "465"
	}
	if port == "" {
		port = "25"
	}
	for _, r := range port {
		if r < '0' || r > '9' || len(port) > 5 {
			host = ""
		}
	}
	if !IsHost(host) {
		if at.text != "" || host != "" {
			c.note(at, "this is no mail server; write it in mail smtp")
		}
		return "", false
	}
	return host + ":" + port, implicit
}
