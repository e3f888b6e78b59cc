package convert

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/convert/paths"
)

// proxysOwn are options of oauth2-proxy that say how it works itself, and do not
// change who gets in.
var proxysOwn = strings.Fields(`
	client_id client_secret client_secret_file jwt_key jwt_key_file pubjwk_url github_token provider_display_name provider_ca_files use_system_trust_store
	google_service_account_json google_admin_email google_use_application_default_credentials google_target_principal google_use_organization_id google_admin_api_user_scope
	azure_graph_group_field entra_id_federated_token_auth resource scope prompt approval_prompt acr_values auth_request_response_mode
	oidc_email_claim oidc_groups_claim oidc_roles_claim user_id_claim oidc_audience_claims oidc_extra_audiences oidc_public_key_files oidc_enabled_signing_algs
	skip_oidc_discovery skip_claims_from_profile_url insecure_oidc_skip_issuer_verification insecure_oidc_skip_nonce insecure_oidc_allow_unverified_email
	code_challenge_method force_code_challenge_method backend_logout_url bearer_token_login_fallback
	cookie_secret cookie_secret_file cookie_name cookie_path cookie_secure cookie_httponly cookie_samesite cookie_refresh cookie_csrf_per_request cookie_csrf_per_request_limit cookie_csrf_expire cookie_csrf_samesite
	session_store_type session_cookie_minimal redis_connection_url redis_username redis_password redis_password_file redis_sentinel_password redis_sentinel_password_file redis_sentinel_master_name redis_sentinel_connection_urls
	redis_cluster_connection_urls redis_use_cluster redis_use_sentinel redis_ca_path redis_insecure_skip_tls_verify redis_connection_idle_timeout
	request_logging request_logging_format auth_logging auth_logging_format standard_logging standard_logging_format logging_filename logging_max_size
	logging_max_age logging_max_backups logging_local_time logging_compress silence_ping_logging exclude_logging_path exclude_logging_paths errors_to_info_log show_debug_on_error
	metrics_address metrics_secure_address metrics_tls_cert_file metrics_tls_key_file gcp_healthchecks ping_path ready_path ping_user_agent request_id_header
	proxy_prefix proxy_websockets pass_host_header flush_interval upstream_timeout disable_keep_alives allow_query_semicolons force_json_errors relative_redirect_url encode_state prefer_email_to_user skip_auth_strip_headers
	skip_provider_button display_htpasswd_form htpasswd_user_groups footer banner custom_templates_dir custom_sign_in_logo
	https_address force_https tls_cert_file tls_key_file tls_cipher_suites tls_min_version version`)

// fromProxy is one conversion.
type fromProxy struct {
	*draft
	root          *tree
	host          string
	domain        string
	sites         []string // further ones that the proxy asks about
	who           []string
	public, trust []string
	presets       []string
	lasts         string
	port          string
	behind        bool // another proxy stands in front
	asks          bool // and only asks
	to            []upstream
}

type upstream struct{ path, to string }

// oauth2Proxy converts a configuration of oauth2-proxy. Who gets in is read last:
// what nobody has read until then may narrow it.
func oauth2Proxy(from Source) (Result, error) {
	root, err := readOptions(from.Name, string(from.Text))
	if err != nil {
		return Result{}, err
	}
	c := &fromProxy{draft: &draft{Source: from}, root: root}
	for _, name := range proxysOwn {
		root.at(name).done()
	}
	c.readUpstreams()
	c.readPlace()
	c.presets, c.lasts = c.headers(), c.lifetime()
	c.public, c.trust = c.openings()
	c.readWho()
	c.write()
	return c.result(), nil
}

func (c *fromProxy) option(name string) string { return strings.Join(c.root.at(name).take(), " ") }

func (c *fromProxy) on(name string) bool {
	on, _ := strconv.ParseBool(c.option(name))
	return on
}

// isSet tells whether an option says something. A list of nothing but an empty
// text does: a group without a name has nobody in it.
func (c *fromProxy) isSet(name string) bool {
	return c.option(name) != "" || slices.Contains(lists, name) && len(c.root.at(name).kids) > 0
}

// readPlace finds the host of the app, and the domain of the cookie.
func (c *fromProxy) readPlace() {
	at := c.root.at("redirect_url")
	u, ok := webOrigin(c.option("redirect_url"))
	switch {
	case IsHost(c.Host):
		c.host = c.Host
	case ok:
		c.host = u.Hostname()
		if u.Scheme == "http" {
			c.note(at, "the app is at an https address here")
		}
	case c.asks && len(c.root.at("cookie_domains").all()) > 0:
		c.host = strings.TrimPrefix(c.root.at("cookie_domains").all()[0], ".")
	default:
		c.host = "closed.invalid"
		c.note(at, "the host of the app stands nowhere: name it with --host app.example.com")
	}
	c.behind, c.port = c.on("reverse_proxy"), "4180"
	if _, p, ok := strings.Cut(strings.TrimPrefix(c.option("http_address"), "http://"), ":"); ok {
		if n, err := strconv.Atoi(p); err == nil && n > 0 && n < 65536 {
			c.port = p
		}
	}
	c.root.at("cookie_domains").done()
	for _, at := range c.root.at("cookie_domains").kids {
		domain := at.text
		if domain = strings.TrimPrefix(domain, "."); IsHost(domain) && strings.HasSuffix("."+c.host, "."+domain) && strings.Contains(domain, ".") {
			if c.domain == "" {
				c.domain = domain
			}
			continue
		}
		c.note(at, "one domain above %s has the cookie", c.host)
	}
	c.root.at("whitelist_domains").done()
	for _, at := range c.root.at("whitelist_domains").kids {
		name := strings.TrimPrefix(strings.TrimPrefix(at.text, "*"), ".")
		if name != at.text { // and what is below it
			name = "*." + name
		}
		if _, err := origin.ParseSitePattern(name); err != nil || !IsHost(strings.TrimPrefix(strings.Split(name, ":")[0], "*.")) {
			c.note(at, "this names no site here")
		} else if !slices.Contains(c.sites, name) {
			c.sites = append(c.sites, name)
		}
	}
}

// narrowing are the options by which a part of the provider's people is admitted
// only, and those that name a file where such an option may stand.
var narrowing = []string{"allowed_groups", "allowed_roles", "allowed_emails", "google_groups", "github_org", "github_team", "github_repo", "github_users", "gitlab_groups", "gitlab_projects",
	"keycloak_groups", "azure_tenant", "bitbucket_team", "bitbucket_repository", "entra_id_allowed_tenants", "config", "alpha_config"}

// ofOnesOwn are the options that put a provider at an address of one's own.
var ofOnesOwn = []string{"login_url", "redeem_url", "profile_url", "validate_url", "oidc_issuer_url", "oidc_jwks_url"}

// anybodys are the providers at which anybody can have an account, as long as
// they stand where they do by themselves, with the issuer that they are there.
var anybodys = map[string]string{"": "https://accounts.google.com", "google": "https://accounts.google.com", "gitlab": "https://gitlab.com",
	"github": "", "facebook": "", "linkedin": "", "bitbucket": "", "digitalocean": "", "sourcehut": ""}

// readWho finds who may sign in. What only the provider knows is closed, and so
// is what was not read or is not known: it may say who gets in.
func (c *fromProxy) readWho() {
	domains, provider := c.root.at("email_domains"), c.root.at("provider")
	domains.done()
	issuer, anybody := anybodys[c.option("provider")]
	var own []*tree
	for _, name := range ofOnesOwn {
		if at := c.root.at(name); c.isSet(name) && (name != "oidc_issuer_url" || issuer == "" || c.option(name) != issuer) {
			own = append(own, at)
		}
	}
	narrowed := false
	narrow := func(at *tree, why string) {
		narrowed = true
		c.note(at, "%s", why+": nobody is admitted until you write who it is")
	}
	for _, name := range narrowing {
		switch at := c.root.at(name); {
		case !c.isSet(name):
		case name == "config":
			narrow(at, "that file is not read, and may say who gets in; convert it, with what stands here written into it")
		case name == "alpha_config":
			narrow(at, "that file is not read: providers and upstreams stand there, and who gets in")
		default:
			narrow(at, "only the provider knows who that is, and it is not asked")
		}
	}
	hasList := c.isSet("authenticated_emails_file")
	if c.isSet("htpasswd_file") {
		c.note(c.root.at("htpasswd_file"), "there are no passwords here; programs get tokens (docs/tokens.md)")
	}
	for _, at := range c.root.kids {
		if !at.read {
			at.done()
			narrow(at, "this is not known here, and may say who gets in")
		}
	}
	for _, entry := range domains.kids {
		domain := entry.text
		switch {
		case narrowed: // that holds beside the domains
		case domain == "*" && len(c.Everybody) > 0:
			c.who = append(c.who, c.people()...)
		case domain == "*" && anybody && len(own) == 0:
			c.who = append(c.who, "any")
		case domain == "*":
			at := provider
			if anybody {
				at = own[0]
			}
			c.note(at, "whoever the provider signs in is admitted by email_domains, and it is not asked: these are closed until you write who they are, or name them with --people")
		case strings.HasPrefix(domain, "."):
			c.note(entry, "domains below one are named one by one here, as in *@sub%s", visible(domain))
		case isAddress("x@" + domain):
			c.who = append(c.who, "*@"+strings.ToLower(domain))
		default:
			c.note(entry, "this is no domain of addresses")
		}
	}
	if hasList {
		c.readList(narrowed)
	}
}

// readList takes a list of addresses as it is, if it has nothing else.
func (c *fromProxy) readList(narrowed bool) {
	at := c.root.at("authenticated_emails_file")
	path := c.option("authenticated_emails_file")
	if narrowed {
		c.note(at, "who is on it may have had to be in a group, too: nobody is admitted until you write file:%s", visible(path))
		return
	}
	text, err := c.Read(path)
	if err != nil || !plain(path) || strings.Contains(path, " ") {
		c.note(at, "this list can't be read here: write file: and its path once it is there")
		return
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && line[0] != '#' && !isAddress(line) {
			c.note(at, "line %d of it is no address of one person, so that the list is left out", i+1)
			return
		}
	}
	c.who = append(c.who, "file:"+path)
}

// readUpstreams finds the apps, or that another proxy only asks.
func (c *fromProxy) readUpstreams() {
	list := c.root.at("upstreams")
	list.done()
	var static []*tree
	for _, at := range list.kids {
		text := at.text
		u, err := url.Parse(text)
		switch {
		case err == nil && u.Scheme == "file":
			c.note(at, "files are left out: see file_server in Caddy's documentation")
		case err != nil || !plain(text) || strings.Contains(text, " ") || u.User != nil:
			c.note(at, "this is no address of an app, and is left out")
		case u.Scheme == "static":
			static = append(static, at)
		case u.Scheme == "http" || u.Scheme == "https":
			path := u.Path
			if path == "" || path == "/" {
				path = ""
			}
			if !IsHost(u.Hostname()) || path != "" && !strings.HasSuffix(path, "/") || u.RawQuery != "" || strings.ContainsAny(path, "*?") {
				c.note(at, "only http(s)://host:port/ and paths that end in / are carried: this one is left out")
				continue
			}
			c.to = append(c.to, upstream{path, u.Scheme + "://" + u.Host})
		default:
			c.note(at, "this is left out: see reverse_proxy in Caddy's documentation")
		}
	}
	if c.asks = len(c.to) == 0; !c.asks {
		for _, at := range static {
			c.note(at, "this answer is left out: see respond in Caddy's documentation")
		}
	}
	slices.SortStableFunc(c.to, func(a, b upstream) int { return len(b.path) - len(a.path) })
}

// headers are the presets of what the app gets.
func (c *fromProxy) headers() (presets []string) {
	if c.on("set_xauthrequest") {
		presets = append(presets, "auth_request")
	}
	if !c.asks && (c.root.at("pass_user_headers").none || c.on("pass_user_headers")) {
		presets = append(presets, "forwarded")
	}
	c.root.at("pass_user_headers").done()
	if len(presets) == 0 && !c.asks {
		presets = []string{"none"}
	}
	for why, names := range map[string][]string{
		"there is no provider, and no token of it":                                    {"pass_access_token", "set_authorization_header", "pass_authorization_header"},
		"the app gets no password: it reads the user from a header":                   {"pass_basic_auth", "set_basic_auth", "basic_auth_password"},
		"programs get tokens (docs/tokens.md)":                                        {"skip_jwt_bearer_tokens", "extra_jwt_issuers"},
		"see headers assertion in docs/configuration.md":                              {"signature_key"},
		"preflight requests pass for origins that cors names (docs/configuration.md)": {"skip_auth_preflight"},
		"write the proxy's address into trusted_proxies":                              {"trusted_proxy_ips"},
		"whether a request gets 401 or the sign-in is told from its headers here, at every path (unauthenticated in docs/configuration.md)": {"api_routes"},
		"the certificate of the app is checked": {"ssl_upstream_insecure_skip_verify", "ssl_insecure_skip_verify"},
	} {
		for _, name := range names {
			if at := c.root.at(name); !at.none && c.option(name) != "false" {
				c.note(at, "%s", why)
			}
		}
	}
	return presets
}

// openings are the paths and networks for which nobody is asked.
func (c *fromProxy) openings() (public, trust []string) {
	for _, name := range []string{"skip_auth_routes", "skip_auth_regex"} {
		c.root.at(name).done()
		for _, at := range c.root.at(name).kids {
			route := at.text
			open, whole := paths.Public(route, false)
			if strings.Contains(route, "=") || len(open) == 0 { // METHOD=path, and METHOD!=path
				c.note(at, "this stays closed: only a path, or all below one, can be public, for all methods")
				continue
			}
			if !whole {
				c.note(at, "only %s is public: by whole segments, and what else it matches stays closed", strings.Join(open, " "))
			}
			public = append(public, open...)
		}
	}
	named := c.root.at("real_client_ip_header")
	header := c.option("real_client_ip_header")
	forwarded := strings.EqualFold(header, "X-Forwarded-For")
	if !forwarded && header != "" && (c.behind || c.asks) {
		c.note(named, "the client's address is the one in X-Forwarded-For here: have the proxy set that")
	}
	c.root.at("trusted_ips").done()
	for _, at := range c.root.at("trusted_ips").kids {
		n, err := network(at.text)
		if err != nil || !policy.IsHome(n) {
			c.note(at, "this is not trusted: it is no network, or a large part of the internet")
			continue
		}
		if (c.behind || c.asks) && !(c.behind && forwarded) {
			c.note(at, "this stays closed: a client's network is told from X-Forwarded-For here, and not from what oauth2-proxy read; have the proxy set that header to the address that has connected ($remote_addr in nginx), and then write trust %s in the site", n)
			continue
		}
		trust = append(trust, n.String())
	}
	slices.Sort(public)
	return slices.Compact(public), trust
}

// lifetime: cookie_expire, as long as a session may last here. It has no end without use.
func (c *fromProxy) lifetime() string {
	text := c.option("cookie_expire")
	if text == "" {
		return "7d"
	}
	return written(c.life(c.root.at("cookie_expire"), text))
}

func (c *fromProxy) write() {
	if len(c.who) == 0 {
		c.who = []string{Nobody}
	}
	c.comment(`Made from %s by gatehouse convert. People sign in with a code or link by
email, in place of the provider: whoever reads the mail of an address that is
admitted gets in. Try it beside oauth2-proxy before you leave it: docs/moving.md
says how.`, visible(c.Name))
	if c.behind || c.asks {
		c.comment("It stands on the machine of your proxy; where that is another one, write its\naddress into trusted_proxies and take bind away.")
	}
	c.block(func() {
		ports := []string{c.port}
		if c.asks {
			ports = append(ports, "8081")
		}
		for _, p := range ports {
			if c.behind || c.asks {
				c.block(func() {
					c.line("trusted_proxies static 127.0.0.1/32")
					c.line("trusted_proxies_strict")
				}, "servers", "127.0.0.1:"+p)
			}
		}
		c.block(func() {
			c.comment("No mail goes out until this names your mail server.")
			c.line("mail smtp localhost:587")
			c.line(`from "Sign-in"`, "login@"+c.mailDomain())
			c.maybe("domain", c.domain)
			c.line("session idle", c.lasts, "max", c.lasts)
		}, "gatehouse")
	})
	c.line()
	if c.asks {
		c.writeAsked()
		return
	}
	c.writeInline()
}

// writeInline writes the site of a Gatehouse in front of the apps.
func (c *fromProxy) writeInline() {
	site := c.host
	if c.behind {
		site = "http://" + c.host + ":" + c.port
	}
	c.block(func() {
		if c.behind {
			c.line("bind 127.0.0.1")
		}
		c.block(func() {
			c.maybe("public", c.public...)
			c.maybe("trust", c.trust...)
			c.maybe("headers", c.presets...)
		}, append([]string{"gatehouse"}, c.who...)...)
		for _, u := range c.to {
			if u.path != "" {
				c.line("reverse_proxy", u.path+"*", u.to)
			} else {
				c.line("reverse_proxy", u.to)
			}
		}
	}, site)
}

func (c *fromProxy) mailDomain() string {
	if c.domain != "" {
		return c.domain
	}
	if _, err := netip.ParseAddr(c.host); err == nil || !strings.Contains(c.host, ".") {
		return "closed.invalid"
	}
	return c.host
}

// writeAsked writes what a proxy asks, and where people sign in.
func (c *fromProxy) writeAsked() {
	login := "auth." + c.mailDomain()
	if label, _, _ := strings.Cut(c.host, "."); slices.Contains([]string{"auth", "login", "oauth", "oauth2", "sso"}, label) {
		login = c.host
	}
	sites := []string{}
	if c.domain != "" {
		sites = append(sites, c.domain, "*."+c.domain)
	}
	if c.host != login && !slices.Contains(sites, c.host) {
		sites = append(sites, c.host)
	}
	for _, name := range c.sites {
		if !slices.Contains(sites, name) {
			sites = append(sites, name)
		}
	}
	c.comment("What the proxy asks, as it asked oauth2-proxy. It has to set X-Forwarded-Host,\nX-Forwarded-Proto and X-Forwarded-For itself: docs/moving.md says how.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.block(func() {
			c.line("login", "https://"+login)
			for _, s := range sites {
				c.block(func() {
					c.maybe("public", c.public...)
					c.maybe("trust", c.trust...)
					c.maybe("headers", c.presets...)
				}, append([]string{"site", s}, c.who...)...)
			}
		}, "gatehouse_authz")
	}, "http://:"+c.port)
	c.line()
	c.comment("Where people sign in: have the proxy lead this host here.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.line("gatehouse_portal")
	}, "http://"+login+":8081")
}
