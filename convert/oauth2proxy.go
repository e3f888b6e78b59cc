package convert

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/convert/paths"
)

// proxysOwn are options of oauth2-proxy that say how it works itself.
var proxysOwn = []string{
	"client_id", "client_secret", "client_secret_file", "cookie_secret", "cookie_secret_file", "cookie_name", "cookie_path", "cookie_secure", "cookie_httponly", "cookie_samesite",
	"cookie_refresh", "cookie_csrf_per_request", "cookie_csrf_expire", "session_store_type", "session_cookie_minimal", "redis_connection_url", "redis_password", "redis_password_file",
	"oidc_issuer_url", "oidc_jwks_url", "oidc_email_claim", "oidc_groups_claim", "oidc_audience_claims", "oidc_extra_audiences", "skip_oidc_discovery", "code_challenge_method",
	"login_url", "redeem_url", "profile_url", "validate_url", "resource", "scope", "prompt", "approval_prompt", "provider_display_name", "acr_values", "provider_ca_files",
	"insecure_oidc_skip_issuer_verification", "insecure_oidc_skip_nonce", "user_id_claim", "backend_logout_url", "force_code_challenge_method", "force_json_errors",
	"request_logging", "request_logging_format", "auth_logging", "auth_logging_format", "standard_logging", "standard_logging_format", "logging_filename", "logging_max_size",
	"logging_max_age", "logging_max_backups", "logging_local_time", "logging_compress", "silence_ping_logging", "exclude_logging_paths", "errors_to_info_log", "metrics_address", "metrics_secure_address",
	"ping_path", "ready_path", "ping_user_agent", "proxy_prefix", "show_debug_on_error", "skip_provider_button", "flush_interval", "footer", "banner", "custom_templates_dir", "custom_sign_in_logo",
	"pass_host_header", "proxy_websockets", "gcp_healthchecks", "real_client_ip_header", "request_id_header", "relative_redirect_url", "encode_state", "display_htpasswd_form", "upstream_timeout",
	"google_service_account_json", "google_admin_email", "google_use_application_default_credentials", "config", "alpha_config", "api_routes", "prefer_email_to_user", "tls_cipher_suites", "tls_min_version",
	"https_address", "tls_cert_file", "tls_key_file", "skip_auth_strip_headers", "htpasswd_user_groups",
}

// fromProxy is one conversion.
type fromProxy struct {
	*draft
	root   *tree
	host   string
	domain string
	who    []string
	behind bool // another proxy stands in front
	asks   bool // and only asks
	to     []upstream
}

type upstream struct{ path, to string }

// oauth2Proxy converts a configuration of oauth2-proxy.
func oauth2Proxy(from Source) (Result, error) {
	root, err := readOptions(from.Name, string(from.Text))
	if err != nil {
		return Result{}, err
	}
	c := &fromProxy{draft: &draft{Source: from}, root: root}
	for _, name := range proxysOwn {
		root.at(name).done()
	}
	if alpha := root.at("alpha_config"); !alpha.none {
		c.note(alpha, "what that file says is not read: providers and upstreams stand there")
	}
	c.readUpstreams()
	c.readPlace()
	c.readWho()
	c.write()
	root.leftOver(c.draft)
	return c.result(), nil
}

func (c *fromProxy) option(name string) string { return strings.Join(c.root.at(name).take(), " ") }

func (c *fromProxy) on(name string) bool { return strings.EqualFold(c.option(name), "true") }

// readPlace finds the host of the app, and the domain of the cookie.
func (c *fromProxy) readPlace() {
	at := c.root.at("redirect_url")
	u, ok := webOrigin(c.option("redirect_url"))
	switch {
	case c.Host != "" && isHost(c.Host):
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
	c.behind = c.on("reverse_proxy")
	c.root.at("cookie_domains").done()
	for _, at := range c.root.at("cookie_domains").kids {
		domain := at.text
		if domain = strings.TrimPrefix(domain, "."); isHost(domain) && strings.HasSuffix("."+c.host, "."+domain) && strings.Contains(domain, ".") {
			if c.domain == "" {
				c.domain = domain
			}
			continue
		}
		c.note(at, "one domain above %s has the cookie", c.host)
	}
}

// restricting are the options by which a provider admits a part of its people only.
var restricting = []string{"allowed_groups", "allowed_roles", "allowed_emails", "google_groups", "github_org", "github_team", "github_repo", "github_users", "gitlab_groups", "gitlab_projects",
	"keycloak_groups", "azure_tenant", "bitbucket_team", "bitbucket_repository", "entra_id_allowed_tenants", "github_token"}

// public are providers at which anybody can have an account.
var publicProviders = []string{"google", "github", "facebook", "linkedin", "bitbucket", "digitalocean", "sourcehut", ""}

// readWho finds who may sign in. What only the provider knows is closed.
func (c *fromProxy) readWho() {
	provider := c.root.at("provider")
	name := c.option("provider")
	if own := c.root.at("login_url"); len(own.all()) > 0 && name == "" {
		name = "its own" // a provider that stands at an address of one's own
	}
	narrowed := false
	for _, option := range restricting {
		if at := c.root.at(option); len(at.take()) > 0 {
			narrowed = true
			c.note(at, "only the provider knows who that is, and it is not asked: nobody is admitted until you write who it is")
		}
	}
	domains := c.root.at("email_domains")
	domains.done()
	for _, entry := range domains.kids {
		domain := entry.text
		switch {
		case domain == "*" && slices.Contains(publicProviders, name) && !narrowed:
			c.who = append(c.who, "any")
		case domain == "*" && len(c.Everybody) > 0:
			c.who = append(c.who, c.Everybody...)
		case domain == "*" && !narrowed:
			at := provider
			if at.none {
				at = domains
			}
			c.note(at, "whoever it signs in is admitted, and it is not asked: nobody is admitted until you write who it is, or name them with --people")
		case domain == "*":
		case strings.HasPrefix(domain, "."):
			c.note(entry, "domains below one are named one by one here, as in *@sub%s", visible(domain))
		case isAddress("x@" + domain):
			c.who = append(c.who, "*@"+strings.ToLower(domain))
		default:
			c.note(entry, "this is no domain of addresses")
		}
	}
	if narrowed {
		c.who = nil // these held beside the domains
		if len(c.Everybody) > 0 {
			c.who = c.Everybody
		}
	}
	c.readList(narrowed)
	if len(c.root.at("htpasswd_file").take()) > 0 {
		c.note(c.root.at("htpasswd_file"), "there are no passwords here; programs get tokens (docs/tokens.md)")
	}
}

// readList takes a list of addresses as it is, if it has nothing else.
func (c *fromProxy) readList(narrowed bool) {
	at := c.root.at("authenticated_emails_file")
	path := c.option("authenticated_emails_file")
	if path == "" {
		return
	}
	if narrowed {
		c.note(at, "who is on it had to be in a group, too, which only the provider knows: nobody is admitted until you write file:%s", visible(path))
		return
	}
	text, err := c.Read(path)
	if err != nil || !plain(path) || strings.Contains(path, " ") {
		c.note(at, "this list can't be read here: write file: and its path once it is there")
		return
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if _, err := address.Parse(line); line != "" && line[0] != '#' && err != nil {
			c.note(at, "line %d of it is no address, so that the list is left out", i+1)
			return
		}
	}
	c.who = append(c.who, "file:"+path)
}

// readUpstreams finds the apps, or that another proxy only asks.
func (c *fromProxy) readUpstreams() {
	list := c.root.at("upstreams")
	list.done()
	for _, at := range list.kids {
		text := at.text
		u, err := url.Parse(text)
		switch {
		case err == nil && u.Scheme == "file":
			c.note(at, "files are left out: see file_server in Caddy's documentation")
		case err != nil || !plain(text) || strings.Contains(text, " ") || u.User != nil:
			c.note(at, "this is no address of an app, and is left out")
		case u.Scheme == "static":
			c.asks = true
		case u.Scheme == "http" || u.Scheme == "https":
			path := u.Path
			if path == "" || path == "/" {
				path = ""
			}
			if !isHost(u.Hostname()) || path != "" && !strings.HasSuffix(path, "/") || u.RawQuery != "" || strings.ContainsAny(path, "*?") {
				c.note(at, "only http(s)://host:port/ and paths that end in / are carried: this one is left out")
				continue
			}
			c.to = append(c.to, upstream{path, u.Scheme + "://" + u.Host})
		default:
			c.note(at, "this is left out: see reverse_proxy in Caddy's documentation")
		}
	}
	c.asks = len(c.to) == 0
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
		"the certificate of the app is checked":                                       {"ssl_upstream_insecure_skip_verify", "ssl_insecure_skip_verify"},
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
			open, ok := paths.Public(route, false)
			if strings.Contains(route, "=") || !ok { // METHOD=path, and METHOD!=path
				c.note(at, "this stays closed: only a path, or all below one, can be public, for all methods")
				continue
			}
			public = append(public, open...)
		}
	}
	c.root.at("trusted_ips").done()
	for _, at := range c.root.at("trusted_ips").kids {
		n, err := network(at.text)
		if err != nil || !policy.IsHome(n) {
			c.note(at, "this is not trusted: it is no network, or a large part of the internet")
			continue
		}
		trust = append(trust, n.String())
	}
	slices.Sort(public)
	return slices.Compact(public), trust
}

// lifetime: cookie_expire, as long as a session may last here. It has no end without use.
func (c *fromProxy) lifetime() string {
	at := c.root.at("cookie_expire")
	d := 7 * 24 * time.Hour
	if text := c.option("cookie_expire"); text != "" {
		read, err := duration(text)
		if err != nil || read < 5*time.Minute {
			c.note(at, "a session lasts from 5m to 30d here, and does not end with the browser")
			read = 5 * time.Minute
		}
		d = min(read, 30*24*time.Hour)
	}
	return written(d)
}

func (c *fromProxy) write() {
	port := "4180"
	if _, p, ok := strings.Cut(strings.TrimPrefix(c.option("http_address"), "http://"), ":"); ok {
		if n, err := strconv.Atoi(p); err == nil && n > 0 && n < 65536 {
			port = p
		}
	}
	presets := c.headers()
	public, trust := c.openings()
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
		ports := []string{port}
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
			c.line("session idle", c.lifetime(), "max", c.lifetime())
		}, "gatehouse")
	})
	c.line()
	if c.asks {
		c.writeAsked(port, presets, public, trust)
		return
	}
	c.writeInline(port, presets, public, trust)
}

// writeInline writes the site of a Gatehouse in front of the apps.
func (c *fromProxy) writeInline(port string, presets, public, trust []string) {
	site := c.host
	if c.behind {
		site = "http://" + c.host + ":" + port
	}
	c.block(func() {
		if c.behind {
			c.line("bind 127.0.0.1")
		}
		c.block(func() {
			c.maybe("public", public...)
			c.maybe("trust", trust...)
			c.maybe("headers", presets...)
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
func (c *fromProxy) writeAsked(port string, presets, public, trust []string) {
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
	c.root.at("whitelist_domains").done()
	for _, at := range c.root.at("whitelist_domains").kids {
		domain := at.text
		star := strings.HasPrefix(domain, ".") || strings.HasPrefix(domain, "*.")
		name := strings.TrimPrefix(strings.TrimPrefix(domain, "*"), ".")
		if star {
			name = "*." + name
		}
		if _, err := origin.ParseSitePattern(name); err != nil || !isHost(strings.TrimPrefix(strings.Split(name, ":")[0], "*.")) {
			c.note(at, "this names no site here")
		} else if !slices.Contains(sites, name) {
			sites = append(sites, name)
		}
	}
	c.comment("What the proxy asks, as it asked oauth2-proxy.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.block(func() {
			c.line("login", "https://"+login)
			for _, s := range sites {
				c.block(func() {
					c.maybe("public", public...)
					c.maybe("trust", trust...)
					c.maybe("headers", presets...)
				}, append([]string{"site", s}, c.who...)...)
			}
		}, "gatehouse_authz")
	}, "http://:"+port)
	c.line()
	c.comment("Where people sign in: have the proxy lead this host here.")
	c.block(func() {
		c.line("bind 127.0.0.1")
		c.line("gatehouse_portal")
	}, "http://"+login+":8081")
}
