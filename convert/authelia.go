package convert

import (
	"errors"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/convert/paths"
)

// itsOwn are keys of Authelia that say how it works itself (where it stores what,
// what its passwords and second factors look like): nothing here is lost.
var itsOwn = []string{
	"theme", "log", "log_level", "logs_level", "logs_file_path", "log_format", "log_file_path", "telemetry", "certificates_directory", "ntp", "storage",
	"totp", "webauthn", "duo_api", "password_policy", "regulation", "jwt_secret", "identity_validation", "privacy_policy", "default_2fa_method", "default_redirection_url",
	"server.buffers", "server.timeouts", "server.headers", "server.asset_path", "server.disable_healthcheck", "server.read_buffer_size",
	"server.write_buffer_size", "server.enable_pprof", "server.enable_expvars", "server.endpoints.enable_pprof", "server.endpoints.enable_expvars", "server.endpoints.rate_limits",
	"session.secret", "session.redis", "session.name", "session.same_site", "definitions.user_attributes",
	"authentication_backend.password_reset", "authentication_backend.password_change", "authentication_backend.refresh_interval", "authentication_backend.disable_reset_password",
	"authentication_backend.file.password", "authentication_backend.file.watch", "authentication_backend.file.search", "authentication_backend.file.extra_attributes",
	"notifier.disable_startup_check", "notifier.template_path", "notifier.smtp.startup_check_address", "notifier.smtp.subject", "notifier.smtp.timeout", "notifier.smtp.disable_html_emails",
	"notifier.smtp.tls.minimum_version", "notifier.smtp.tls.maximum_version",
	"identity_providers.oidc.hmac_secret", "identity_providers.oidc.jwks", "identity_providers.oidc.issuer_private_key", "identity_providers.oidc.issuer_private_keys", "identity_providers.oidc.issuer_certificate_chain",
	"identity_providers.oidc.lifespans", "identity_providers.oidc.access_token_lifespan", "identity_providers.oidc.authorize_code_lifespan", "identity_providers.oidc.id_token_lifespan",
	"identity_providers.oidc.refresh_token_lifespan", "identity_providers.oidc.enable_client_debug_messages", "identity_providers.oidc.minimum_parameter_entropy", "identity_providers.oidc.cors",
	"identity_providers.oidc.discovery_signed_response_alg", "identity_providers.oidc.discovery_signed_response_key_id", "identity_providers.oidc.enforce_pkce",
}

// fromAuthelia is one conversion.
type fromAuthelia struct {
	*draft
	root, backend *tree
	world         world
	groups        *groups
	inSource      []string // subjects that rules or users name: group:dev, user:john
	domains       []string
	login         *url.URL
	port          string
	sites         []site
	clients       []client
}

// authelia converts configuration.yml.
func authelia(from Source) (Result, error) {
	root, err := readYAML(from.Name, from.Text)
	if err != nil {
		return Result{}, err
	}
	c := &fromAuthelia{draft: &draft{Source: from}, root: root, backend: root.at("authentication_backend"), groups: newGroups(), port: "9091"}
	if root.at("access_control").none && root.at("session").none {
		return Result{}, errors.New(from.Name + ": this has neither access_control nor session, which a configuration of Authelia has")
	}
	for _, path := range itsOwn {
		root.at(strings.Split(path, ".")...).done()
	}
	c.world.oneFactor = from.OneFactor
	c.readSession()
	c.readServer()
	if err := c.readPeople(); err != nil {
		return Result{}, err
	}
	rules := c.readRules(root.at("access_control", "rules"), true)
	for _, at := range root.at("access_control").kids {
		if !slices.Contains([]string{"rules", "default_policy", "networks"}, at.name) {
			at.done()
			c.note(at, "this is not known here, and may say who gets in: every site is closed")
			rules = append([]*rule{{at: at, odd: true}}, rules...)
		}
	}
	c.meetStrangers(rules)
	c.readSites(rules)
	c.readClients()
	c.write()
	root.leftOver(c.draft)
	return c.result(), nil
}

func (c *fromAuthelia) readServer() {
	server := c.root.at("server")
	address := server.at("address")
	if text := address.one(); text != "" {
		u, err := url.Parse(text)
		switch {
		case err != nil || !strings.HasPrefix(u.Scheme, "tcp"):
			c.note(address, "Gatehouse listens at a port here; for a socket write bind unix//path in the site of gatehouse_authz")
		default:
			c.setPort(u.Port())
			if strings.Trim(u.Path, "/") != "" {
				c.note(address, "the sign-in has a host of its own here, and no path")
			}
		}
	}
	for _, port := range []*tree{server.at("port"), c.root.at("port")} {
		c.setPort(port.one())
	}
	server.at("host").done()
	c.root.at("host").done()
	if path := server.at("path"); strings.Trim(path.one(), "/") != "" {
		c.note(path, "the sign-in has a host of its own here, and no path")
	}
	if tls := server.at("tls"); len(tls.all()) > 0 {
		tls.done()
		c.note(tls, "the proxy asks over plain http on this machine")
	}
	server.at("tls").done()
	for _, endpoint := range server.at("endpoints", "authz").kids {
		known := map[string]string{"forward-auth": "ForwardAuth", "auth-request": "AuthRequest", "ext-authz": "ExtAuthz"}
		if kind := endpoint.at("implementation"); known[endpoint.name] != kind.one() {
			c.note(kind, "the paths are /api/authz/forward-auth, /auth-request and /ext-authz here: have the proxy ask at one of these")
		}
		if strategies := endpoint.at("authn_strategies"); !strategies.none {
			strategies.done()
			if slices.ContainsFunc(strategies.all(), func(s string) bool { return strings.HasPrefix(s, "Header") }) {
				c.note(strategies, "there are no passwords here; programs get tokens (docs/tokens.md)")
			}
		}
	}
}

func (c *fromAuthelia) setPort(port string) {
	if n, err := netip.ParseAddrPort("127.0.0.1:" + port); err == nil && n.Port() > 0 {
		c.port = port
	}
}

func (c *fromAuthelia) readSession() {
	session := c.root.at("session")
	for i, cookie := range session.at("cookies").items() {
		domain := cookie.at("domain")
		if name := strings.ToLower(domain.one()); IsHost(name) && strings.Contains(name, ".") {
			c.domains = append(c.domains, name)
		} else if !cookie.none {
			c.note(domain, "this is no domain")
		}
		at := cookie.at("authelia_url")
		u, ok := webOrigin(at.one())
		switch {
		case !ok && at.text != "" || ok && u.Scheme != "https":
			c.note(at, "the sign-in is at an https address here")
		case ok && c.login == nil:
			c.login = u
			if strings.Trim(u.Path, "/") != "" {
				c.note(at, "the sign-in has a host of its own here, and no path: it is at https://%s, which must not be that of an app", u.Host)
			}
		case ok:
			c.note(at, "people of this domain sign in at https://%s, too: have the proxy lead /_gatehouse/* of its hosts to Gatehouse", c.login.Host)
		}
		cookie.at("name").done()
		cookie.at("same_site").done()
		cookie.at("default_redirection_url").done()
		if i > 0 {
			for _, key := range []string{"inactivity", "expiration", "remember_me"} {
				if !cookie.at(key).none {
					c.note(cookie.at(key), "sessions last as long at all domains here")
				}
				cookie.at(key).done()
			}
		}
	}
	if old := session.at("domain"); !old.none && IsHost(old.one()) {
		c.domains = append(c.domains, strings.ToLower(old.text))
	}
	for _, key := range []string{"remember_me", "remember_me_duration"} {
		for _, at := range []*tree{session.at(key), session.at("cookies", "1", key)} {
			if at.one() != "" && at.text != "-1" {
				c.note(at, "there is no box to tick here: sessions last as long as expiration says; write session idle 7d max 30d for longer ones")
			}
		}
	}
}

// lifetime writes how long sessions last: what Authelia has by itself where it says nothing.
func (c *fromAuthelia) lifetime() {
	session := c.root.at("session")
	value := func(key, usual string) (text string, at *tree) {
		at = session.at("cookies", "1", key)
		if at.none {
			at = session.at(key)
		}
		if text = at.one(); text == "" {
			return usual, at
		}
		return text, at
	}
	bounded := func(key, usual string) time.Duration {
		text, at := value(key, usual)
		return c.life(at, text)
	}
	idle, most := bounded("inactivity", "5m"), bounded("expiration", "1h")
	c.line("session idle", written(min(idle, most)), "max", written(most))
	session.at("inactivity").done()
	session.at("expiration").done()
}

// readPeople reads Authelia's users where it keeps them in a file.
func (c *fromAuthelia) readPeople() error {
	file := c.backend.at("file", "path")
	path := c.Users
	if path == "" && !file.none {
		path = file.one()
	}
	file.done()
	if ldap := c.backend.at("ldap"); !ldap.none {
		ldap.done()
		if c.Users == "" {
			c.note(ldap, "people and groups stand in a directory, which is not asked: fill in the groups below, by a timer if they change (docs/recipes.md)")
			return nil
		}
	}
	if path == "" {
		return nil
	}
	text, err := c.Read(path)
	if err != nil && c.Users == "" {
		beside := filepath.Join(filepath.Dir(c.Name), filepath.Base(path))
		if text, err = c.Read(beside); err == nil {
			c.note(file, "this file is not here, and %s is read in its place: --users names another", visible(beside))
			path = beside
		}
	}
	if err != nil {
		if c.Users != "" {
			return err
		}
		c.note(file, "this file can't be read here, so that nobody is known: name it with --users, or fill in the groups below")
		return nil
	}
	users, err := readYAML(path, text)
	if err != nil {
		return err
	}
	c.world.known = true
	seen := map[string]bool{}
	for _, user := range users.at("users").kids {
		email := user.at("email")
		address := strings.ToLower(email.one())
		switch {
		case user.at("disabled").isTrue():
			continue
		case !isAddress(address):
			c.note(user, "this person has no address that a mail can go to, and can't sign in here")
			continue
		}
		p := person{who: address, name: user.name, groups: user.at("groups").all()}
		c.world.people = append(c.world.people, p)
		for _, g := range p.groups {
			if g = "group:" + g; !seen[g] {
				seen[g] = true
				c.inSource = append(c.inSource, g)
			}
		}
	}
	slices.Sort(c.inSource)
	return nil
}

// meetStrangers makes up who the rules speak of where the people are not known:
// everybody, and each group and each person that a rule names.
func (c *fromAuthelia) meetStrangers(rules []*rule) {
	for _, policy := range c.root.at("identity_providers", "oidc", "authorization_policies").kids {
		for _, r := range policy.at("rules").items() {
			_, subjects := c.subjects(r)
			rules = append(rules, &rule{subjects: subjects})
		}
	}
	if c.world.known {
		return
	}
	c.world.people = []person{{who: everybody}}
	for _, r := range rules {
		for _, all := range r.subjects {
			for _, subject := range all {
				kind, name, _ := strings.Cut(subject, ":")
				if slices.Contains(c.inSource, subject) || kind != "user" && kind != "group" {
					continue
				}
				c.inSource = append(c.inSource, subject)
				p := person{who: c.groups.name(subject), name: name}
				if kind == "group" {
					p.name, p.groups = "", []string{name}
				}
				c.world.people = append(c.world.people, p)
			}
		}
	}
}

// ruleKeys are what a rule may say. What else it says may narrow it.
var ruleKeys = []string{"domain", "domain_regex", "policy", "subject", "methods", "query", "networks", "resources"}

// readRules reads rules of access_control, or those of an app, which are for no domain.
func (c *fromAuthelia) readRules(list *tree, forDomains bool) (rules []*rule) {
	for _, at := range list.items() {
		r := &rule{at: at, domains: at.at("domain").take(), policy: at.at("policy").one()}
		r.methods, r.query = len(at.at("methods").take()) > 0, !at.at("query").none
		at.at("query").done()
		odd := func(key, why string) {
			r.odd = true
			c.note(at.at(key), "%s", why)
		}
		for _, text := range at.at("domain_regex").take() {
			re, err := regexp.Compile(text)
			if err != nil {
				odd("domain_regex", "this can't be read; the rule is taken for one that may hold for any request")
				continue
			}
			r.regexes = append(r.regexes, re)
		}
		for _, text := range at.at("resources").take() {
			if _, err := regexp.Compile(text); err != nil {
				odd("resources", "this can't be read; the rule is taken for one that may hold for any request")
			}
			r.resources = append(r.resources, text)
		}
		var strange bool
		if strange, r.subjects = c.subjects(at); strange {
			odd("subject", "only users and groups are known here: whom it admits is closed, and whom it refuses may be anybody")
		}
		for _, name := range at.at("networks").take() {
			networks, ok := c.networks(name)
			if !ok {
				odd("networks", "this is neither a network nor the name of one that is defined; the rule is taken for one that may hold for any request")
			}
			r.networks = append(r.networks, networks...)
		}
		if !slices.Contains([]string{"deny", "bypass", "one_factor", "two_factor"}, r.policy) {
			odd("policy", "this policy is not known; it admits nobody here")
		}
		for _, kid := range at.kids {
			if !slices.Contains(ruleKeys, kid.name) {
				kid.done()
				odd(kid.name, "this is not known here; the rule is taken for one that may hold for any request")
			}
		}
		r.odd = r.odd || forDomains && len(r.domains)+len(r.regexes) == 0
		rules = append(rules, r)
	}
	return rules
}

// subjects are the people a rule is for: one of the lists, all of it.
func (c *fromAuthelia) subjects(rule *tree) (strange bool, subjects [][]string) {
	subject := rule.at("subject")
	subject.done()
	for _, item := range subject.items() {
		all := item.all()
		strange = strange || len(all) == 0
		for _, s := range all {
			kind, name, _ := strings.Cut(s, ":")
			strange = strange || kind != "user" && kind != "group" && !isProgram(s) || name == ""
		}
		subjects = append(subjects, all)
	}
	return strange, subjects
}

// networks are what a name or address in a rule stands for.
func (c *fromAuthelia) networks(name string) (all []netip.Prefix, ok bool) {
	if one, err := network(name); err == nil {
		return []netip.Prefix{one}, true
	}
	definition := c.root.at("definitions", "network", name)
	for _, old := range c.root.at("access_control", "networks").items() {
		if old.at("name").one() == name {
			definition = old.at("networks")
		}
	}
	for _, text := range definition.take() {
		one, err := network(text)
		if err != nil {
			return nil, false
		}
		all = append(all, one)
	}
	return all, len(all) > 0
}

func network(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// readSites works out each host that a rule names, so that none falls to a star
// that says otherwise.
func (c *fromAuthelia) readSites(rules []*rule) {
	access := c.root.at("access_control")
	access.at("networks").done()
	c.root.at("definitions", "network").done()
	otherwise := access.at("default_policy")
	policy := otherwise.one()
	if otherwise.none {
		policy = "deny"
	}
	login := c.portal().Hostname()
	var hosts []string
	add := func(host string) {
		if host = strings.ToLower(host); host != login && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, r := range rules {
		for _, domain := range r.domains {
			if _, err := origin.ParseSitePattern(domain); err != nil || !IsHost(strings.TrimPrefix(domain, "*.")) {
				c.note(r.at.at("domain"), "%q is no name or pattern of a host here: what it says is closed", visible(domain))
				continue
			}
			add(domain)
		}
	}
	if policy == "one_factor" || policy == "two_factor" || policy == "bypass" {
		for _, domain := range c.domains {
			add(domain)
			add("*." + domain)
		}
	}
	if policy == "bypass" {
		c.note(otherwise, "hosts that no rule names are not open here: Gatehouse refuses those that no site names")
		policy = "deny"
	}
	if policy == "two_factor" {
		c.twoFactors(otherwise)
	}
	for _, host := range hosts {
		s := c.world.siteFor(host, rules, policy, c.groups.name)
		s.allow = c.world.shorter(s, rules, policy, c.inSource, c.groups.name)
		c.sites = append(c.sites, s)
	}
	for _, r := range rules {
		c.tell(r)
	}
}

// visible is a value as notes may show it.
func visible(s string) string {
	if !plain(strings.NewReplacer("{", "", "}", "", `\`, "").Replace(s)) {
		return "…"
	}
	return s
}

func (c *fromAuthelia) twoFactors(at *tree) {
	if c.OneFactor {
		c.note(at, "one factor is asked for here, a code or link by email")
		return
	}
	c.note(at, "there is one factor here, a code or link by email: what asks for two is closed; --one-factor opens it")
}

// tell notes what of a rule is not in its sites.
func (c *fromAuthelia) tell(r *rule) {
	if len(r.regexes) > 0 {
		c.note(r.at.at("domain_regex"), "hosts are named one by one here, or below a star: what it opens is closed, what it closes takes more along")
	}
	if r.policy == "two_factor" {
		c.twoFactors(r.at.at("policy"))
	}
	if slices.ContainsFunc(slices.Concat(r.subjects...), isProgram) {
		c.note(r.at.at("subject"), "a client of OpenID Connect is no person; programs get tokens (docs/tokens.md)")
	}
	if len(r.subjects) > 0 && !c.world.known {
		at, open := r.at.at("subject"), c.world.opens(r.policy)
		switch several := slices.ContainsFunc(r.subjects, func(all []string) bool { return len(all) > 1 && !slices.ContainsFunc(all, isProgram) }); {
		case several && open:
			c.note(at, "who is all of these at once is not known here: this is closed until you write who it is")
		case !open && slices.ContainsFunc(r.subjects, func(all []string) bool { return !slices.ContainsFunc(all, isProgram) }):
			c.note(at, "who that is is not known here: where others get in, the site is closed until you fill in its deny and then write who may open it")
		}
	}
	var keys []string
	for _, key := range []string{"methods", "query", "networks", "resources"} {
		if !r.at.at(key).none && len(r.at.at(key).all()) > 0 {
			keys = append(keys, key)
		}
	}
	if len(r.domains) == 0 {
		return
	}
	if len(keys) == 0 {
		if r.policy == "bypass" && !slices.ContainsFunc(r.domains, func(d string) bool { return strings.EqualFold(d, c.portal().Hostname()) }) {
			c.note(r.at.at("policy"), "a host without a sign-in is none that Gatehouse is asked about: have the proxy not ask there; where it asks, people have to sign in")
		}
		return
	}
	at := r.at.at(keys[0])
	if r.policy != "bypass" {
		c.note(at, "a site here has the same people for all requests: this rule gives nothing, and whom it refuses is refused at the whole site")
		return
	}
	for _, domain := range r.domains {
		i := slices.IndexFunc(c.sites, func(s site) bool { return strings.EqualFold(s.host, domain) })
		if i < 0 {
			continue
		}
		for _, missing := range c.notOpen(r, c.sites[i]) {
			c.note(at, "%s stays closed at %s: a path, or all below one, can be public, with any query, and a network trusted, where no earlier rule may say otherwise", missing, c.sites[i].host)
		}
	}
}

// notOpen says which part of a rule that lets everybody in is not open at s.
func (c *fromAuthelia) notOpen(r *rule, s site) (missing []string) {
	if r.methods || r.query || r.odd || len(r.networks) > 0 && len(r.resources) > 0 {
		return []string{"all of it"}
	}
	for _, n := range r.networks {
		if !slices.Contains(s.trust, n.String()) {
			missing = append(missing, n.String())
		}
	}
	for _, resource := range r.resources {
		open, whole := paths.Public(resource, true)
		switch {
		case len(open) == 0 || slices.ContainsFunc(open, func(p string) bool { return !slices.Contains(s.public, p) }):
			missing = append(missing, visible(resource))
		case !whole:
			missing = append(missing, "what else than "+strings.Join(open, " ")+" matches "+visible(resource))
		}
	}
	return missing
}

// portal is where people sign in: where Authelia does, or auth below the domain.
func (c *fromAuthelia) portal() *url.URL {
	if c.login == nil {
		c.login = &url.URL{Scheme: "https", Host: "auth.closed.invalid"}
		if len(c.domains) > 0 {
			c.login.Host = "auth." + c.domains[0]
		}
		c.note(c.root.at("session"), "authelia_url is not there: the sign-in is taken to be at https://%s", c.login.Host)
	}
	return c.login
}

// sender reads who Authelia's mails are from.
func (c *fromAuthelia) sender() (name, address string) {
	at := c.root.at("notifier", "smtp", "sender")
	from, err := mail.ParseAddress(at.one())
	if err == nil && isAddress(from.Address) && (from.Name == "" || plain(from.Name)) {
		return from.Name, from.Address
	}
	if at.text != "" {
		c.note(at, "this is no sender; write who mails are from in from")
	}
	domain := "closed.invalid"
	if len(c.domains) > 0 {
		domain = c.domains[0]
	}
	return "", "login@" + domain
}
