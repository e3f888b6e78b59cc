package operate

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/examples"
)

// Asks is where other proxies ask whether a request passes.
type Asks struct {
	Address string               // where that listens
	Sites   []origin.SitePattern // in their order
	Scheme  string               // of the sites that name none
	Headers []string             // that some site sets
	Claims  []string             // all that say who somebody is: what is not set is taken from clients
	Login   origin.Origin        // where people sign in
	Portal  string               // where the sign-in host listens for a proxy; empty: it has TLS of its own, or is elsewhere
	Others  []string             // sites that are asked about elsewhere, of other gatehouse_authz
}

// Snippet is the configuration of another proxy for the sites that it asks about.
func (i *Instance) Snippet(proxy string) (string, error) {
	if !slices.Contains(examples.Proxies, proxy) {
		return "", refuse(NotFound, "there is no proxy called %q here; there are %s", proxy, strings.Join(examples.Proxies, ", "))
	}
	asks := i.Asks
	if asks == nil {
		return "", refuse(NotFound, "this configuration answers no other proxy; write in a site of its own\n    http://:9091 {\n        bind 127.0.0.1\n        gatehouse_authz {\n            login https://auth.example.com\n            site wiki.example.com *@example.com\n        }\n    }\nand in the global options, with the address of the proxy\n    %s", TrustBlock("127.0.0.1:9091"))
	}
	for _, address := range []string{asks.Address, asks.Portal} {
		if strings.HasPrefix(address, "unix") {
			return "", refuse(Conflict, "%s is a socket of this machine, and what is printed here names a host and a port: write in its site\n    bind 127.0.0.1\nwith the port in the site's address, as in http://:9091", address)
		}
	}
	text, err := examples.Read(proxy)
	if err != nil {
		return "", err
	}
	text = howToTry.ReplaceAllString(strings.ReplaceAll(text, "(../Caddyfile) ", ""), "")
	w := writer{proxy: proxies[proxy], sites: asks.proxied()}
	if asks.Portal == "" {
		for _, part := range w.signIn {
			text = cut(text, part[0], part[1])
		}
	} else {
		w.host = proxiedAt(asks.Login, asks.Portal)
		text = w.nameHost(text, w)
	}
	text = asks.addressed(asks.nameHeaders(w.nameSites(text, w)))
	if len(asks.Others) > 0 {
		text = "# Not in here, since another gatehouse_authz answers for them: " + strings.Join(asks.Others, " ") + "\n" + text
	}
	return text, nil
}

// howToTry is what the head of an example says of running it as it stands.
var howToTry = regexp.MustCompile(`(?m)^#\n#   gatehouse run .*\n#   .*\n#   then open .*\n`)

// addressed has text speak of the addresses here, also as Envoy writes them, in one
// pass: either may be the example's other one.
func (a *Asks) addressed(text string) string {
	var pairs []string
	for _, pair := range [][2]string{{examples.Address, a.Address}, {examples.Portal, a.Portal}} {
		from, to := pair[0], pair[1]
		pairs = append(pairs, from, to)
		host, port, _ := net.SplitHostPort(from)
		if toHost, toPort, err := net.SplitHostPort(to); err == nil {
			pairs = append(pairs, "address: "+host+", port_value: "+port, "address: "+toHost+", port_value: "+toPort)
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// cut leaves out what begins with from, up to until.
func cut(text, from, until string) string {
	start := strings.Index(text, from)
	return text[:start] + text[start+strings.Index(text[start:], until):]
}

// TrustBlock is what to write in the global options for the server that other
// proxies ask.
func TrustBlock(listen string) string {
	return "servers " + listen + " {\n        trusted_proxies static 127.0.0.1/32\n        trusted_proxies_strict\n    }"
}

// headerList is the headers of the preset remote on one line.
var headerList = regexp.MustCompile(`(?i)("?)remote-user("?,? "?)remote-email"?,? "?remote-name"?,? "?remote-groups("?)`)

// nameHeaders puts headers into the place of those of the preset remote, which
// the examples have. There they stand in a list on one line, or each on lines of
// their own; what removes a client's has "remove" or an empty value.
func (a *Asks) nameHeaders(text string) string {
	headers := a.Headers
	var out strings.Builder
	for line := range strings.Lines(text) {
		if list := headerList.FindStringSubmatch(line); list != nil {
			if len(headers) > 0 || list[1] != "" {
				out.WriteString(strings.Replace(line, list[0], listAs(list, headers), 1))
			}
			continue
		}
		listed := strings.Contains(line, "remove:") || strings.Contains(line, `: ""`)
		removes := strings.Contains(line, "remove:") || strings.Contains(line, `""`) || strings.Contains(line, "request_header -")
		switch name := a.headerIn(line); {
		case name == "" || strings.HasPrefix(strings.TrimSpace(line), "#") || removes && !strings.Contains(line, "proxy_set_header") && !strings.Contains(line, "fastcgi_param"):
			out.WriteString(line)
			switch {
			case listed && name == "X-Gatehouse-Assertion":
				writeFor(&out, line, name, a.spelled())
			case strings.Contains(line, "request_header -*Assertion"):
				for _, spelled := range a.spelledOwn() {
					out.WriteString(strings.Replace(line, "*Assertion", spelled, 1))
				}
			case strings.Contains(line, "del-header ^(cf"):
				for _, own := range a.own() {
					out.WriteString("    http-request del-header ^" + strings.ReplaceAll(strings.ToLower(own), "-", "[^a-z0-9]*") + "$ -m reg\n")
				}
			}
		case !removes && name == "Remote-User":
			writeFor(&out, line, name, headers)
		case removes && name == "X-Forwarded-User":
			others := slices.DeleteFunc(slices.Clone(a.Claims), func(n string) bool { return slices.Contains(headers, n) })
			writeFor(&out, line, name, others)
		}
	}
	return out.String()
}

// own are the headers of no preset, which no example knows.
func (a *Asks) own() []string {
	return slices.DeleteFunc(slices.Clone(a.Headers), func(h string) bool { return slices.Contains(a.Claims, h) })
}

// spelled are what clients may not send of the headers in use, but for what stands
// in the examples: presets' in spellings with one kind of separator.
func (a *Asks) spelled() []string {
	all := a.spelledOwn()
	for _, header := range a.Headers {
		if slices.Contains(a.Claims, header) {
			all = append(all, slices.DeleteFunc(spellings(header), func(s string) bool {
				return slices.Contains([]string{header, strings.ReplaceAll(header, "-", "_"), strings.ReplaceAll(header, "-", ".")}, s)
			})...)
		}
	}
	return all
}

func (a *Asks) spelledOwn() (all []string) {
	for _, header := range a.own() {
		all = append(all, spellings(header)...)
	}
	return all
}

// spellings are the names that apps read as the header: they take - _ and . for
// the same.
func spellings(header string) []string {
	words := strings.Split(header, "-")
	spelled := words[:1:1]
	for _, word := range words[1:] {
		var longer []string
		for _, begun := range spelled {
			longer = append(longer, begun+"-"+word, begun+"_"+word, begun+"."+word)
		}
		spelled = longer
	}
	return spelled
}

// listAs writes headers as the example's list is written.
func listAs(list, headers []string) string {
	if len(headers) == 0 {
		return ""
	}
	names := strings.Join(headers, list[2])
	if list[1] != "" { // Lua compares them in lower case
		names = strings.ToLower(names)
	}
	return list[1] + names + list[3]
}

// headerIn is the identity header that a line is about.
func (a *Asks) headerIn(line string) string {
	for _, name := range a.Claims {
		if strings.Contains(line, name) || strings.Contains(line, strings.ToLower(name)) || strings.Contains(line, variable(name)) || strings.Contains(line, strings.ToUpper(variable(name))) {
			return name
		}
	}
	return ""
}

// variable is how nginx calls a header.
func variable(header string) string {
	return strings.ReplaceAll(strings.ToLower(header), "-", "_")
}

// writeFor writes line, which is about the header from, for each of headers.
func writeFor(out *strings.Builder, line, from string, headers []string) {
	for _, to := range headers {
		out.WriteString(strings.NewReplacer(from, to, strings.ToLower(from), strings.ToLower(to), variable(from), variable(to), strings.ToUpper(variable(from)), strings.ToUpper(variable(to))).Replace(line))
	}
}

// proxy is how the configuration of a proxy speaks of the sign-in host and of sites.
type proxy struct {
	signIn    [][2]string // where it speaks of the sign-in host: from, and up to which text
	nameHost  func(text string, w writer) string
	nameSites func(text string, w writer) string
}

var proxies = map[string]proxy{
	"nginx":   {[][2]string{{"\n# The sign-in host.", "\n# ---- "}}, nginxHost, nginxSites},
	"haproxy": {[][2]string{{"    acl signin", "    acl wiki"}, {" || signin", "\n"}, {"    use_backend signin", "    use_backend gatehouse"}, {"backend signin", "backend gatehouse"}}, haproxyHost, haproxySites},
	"caddy":   {[][2]string{{"# The sign-in host", "http://" + examples.Host}}, caddyHost, caddySites},
	"traefik": {[][2]string{{"    # The sign-in host", "    # The way back"}, {"    signin:\n      loadBalancer:", "    gatehouse:\n      loadBalancer:"}}, traefikHost, traefikSites},
	"envoy":   {[][2]string{{"                    # The sign-in host", "                    - name: wiki"}, {"    - name: signin\n      type", "    - name: gatehouse\n      type"}}, envoyHost, envoySites},
}

// writer puts the sign-in host and the sites into the place of the example's.
type writer struct {
	proxy
	host  proxied   // the sign-in host; none if its name is empty
	sites []proxied // each once
}

// isMixed tells whether some of what is written stands behind TLS, and some does not.
func (w writer) isMixed() bool {
	return slices.ContainsFunc(w.all(), func(p proxied) bool { return p.scheme != w.sites[0].scheme })
}

// isBelowStar tells whether the name of p is one that a site with a star on the same
// port covers.
func (w writer) isBelowStar(p proxied) bool {
	_, parent, _ := strings.Cut(p.name, ".")
	return slices.ContainsFunc(w.sites, func(other proxied) bool {
		below, star := other.below()
		return star && other != p && other.port == p.port && below == parent
	})
}

// all are the sign-in host, if there is one, and the sites.
func (w writer) all() []proxied {
	if w.host.name == "" {
		return w.sites
	}
	return append([]proxied{w.host}, w.sites...)
}

// proxied is a site as the configuration of another proxy has it.
type proxied struct {
	name   string // host name, with *. in front for all below it
	scheme string
	port   string // always there
	suffix string // :port where browsers write it
	app    string // address, for people to put theirs in its place
}

// proxied lists the sites, each once.
func (a *Asks) proxied() (all []proxied) {
	for _, s := range a.Sites {
		one := s
		if !s.Exact() { // a name that it covers has scheme and port
			one, _ = origin.ParseSitePattern(strings.Replace(one.String(), "*.", "x.", 1))
		}
		p := proxiedAt(one.Origin(a.Scheme), "")
		p.name = s.Name()
		if !slices.ContainsFunc(all, func(other proxied) bool {
			return other.name == p.name && other.scheme == p.scheme && other.port == p.port
		}) {
			p.app = "127.0.0.1:" + strconv.Itoa(3000+len(all))
			all = append(all, p)
		}
	}
	return all
}

// proxiedAt is what stands at o, and is reached by a proxy at app.
func proxiedAt(o origin.Origin, app string) proxied {
	p := proxied{name: o.Hostname(), scheme: o.Scheme(), port: o.Port(), app: app}
	if suffix := ":" + p.port; strings.HasSuffix(o.Host(), suffix) {
		p.suffix = suffix
	}
	return p
}

// below is the domain of a name with a star.
func (p proxied) below() (parent string, star bool) { return strings.CutPrefix(p.name, "*.") }

// perSite writes the part of text that begins with from and goes up to until, or
// to the end, once for each site.
func perSite(text, from, until string, sites []proxied, write func(part string, p proxied) string) string {
	start := strings.Index(text, from)
	end := len(text)
	if until != "" {
		end = start + strings.Index(text[start:], until)
	}
	parts := make([]string, len(sites))
	for i, p := range sites {
		parts[i] = write(text[start:end], p)
	}
	return text[:start] + strings.Join(parts, "") + text[end:]
}

// nginxListen is how a server block begins.
func nginxListen(p proxied) string {
	if p.scheme != "https" {
		return "listen " + p.port
	}
	file := strings.TrimPrefix(p.name, "*.")
	return "listen " + p.port + " ssl;\n    ssl_certificate /etc/ssl/certs/" + file + ".pem;\n    ssl_certificate_key /etc/ssl/private/" + file + ".key"
}

const nginxBlock = "server {\n    listen 127.0.0.1:8080;\n    server_name "

func nginxHost(text string, w writer) string {
	return strings.NewReplacer(nginxBlock+examples.SignIn, "server {\n    "+nginxListen(w.host)+";\n    server_name "+w.host.name,
		examples.SignIn+":8080", w.host.name+w.host.suffix).Replace(text)
}

// nginxSites writes a server block for each site.
func nginxSites(text string, w writer) string {
	until := "# The sign-in host."
	if w.host.name == "" {
		until = "\n# ---- "
	}
	return perSite(text, nginxBlock+examples.Host, until, w.sites, func(part string, p proxied) string {
		host := p.name
		if _, star := p.below(); star {
			host = "$host" // of the request line, by which nginx chose the block
		}
		return strings.NewReplacer("listen 127.0.0.1:8080", nginxListen(p), "server_name "+examples.Host, "server_name "+p.name,
			"http://"+examples.Host+":8080", p.scheme+"://"+host+p.suffix, "127.0.0.1:3000", p.app).Replace(part)
	})
}

// haproxyHosts are what the Host header of p may be, and what tells its scheme where
// one name may be two sites.
func haproxyHosts(p proxied, mixed bool) (hosts, when string) {
	hosts, optional := "-i "+p.name+p.suffix, ""
	if p.suffix == "" {
		optional = "(:" + p.port + ")?"
		hosts += " " + p.name + ":" + p.port
	}
	if parent, star := p.below(); star {
		hosts = "-m reg -i ^[a-z0-9_-]+[.]" + strings.ReplaceAll(parent, ".", "[.]") + p.suffix + optional + "$"
	}
	if mixed {
		when = map[bool]string{true: " { ssl_fc }", false: " !{ ssl_fc }"}[p.scheme == "https"]
	}
	return hosts, when
}

func haproxyHost(text string, w writer) string {
	hosts, when := haproxyHosts(w.host, w.isMixed())
	return strings.NewReplacer("-i "+examples.SignIn+":8080", hosts, "str("+examples.SignIn+":8080)", "str("+w.host.name+w.host.suffix+")",
		"if signin\n", "if signin"+when+"\n", "|| signin\n", "|| signin"+when+"\n").Replace(text)
}

// haproxySites writes the lines and the backend of each site. Where two lines fit
// one Host, the site without a star counts, as for Gatehouse.
func haproxySites(text string, w writer) string {
	sites, mixed := w.sites, w.isMixed()
	rename := func(part string, p proxied) string {
		named := "site" + strconv.Itoa(slices.Index(sites, p)+1)
		hosts, when := haproxyHosts(p, mixed)
		when = named + when
		value := "str(" + p.name + p.suffix + ")"
		if _, star := p.below(); star {
			value = "req.fhdr(Host),lower"
		}
		return strings.NewReplacer("acl wiki", "acl "+named, "-i "+examples.Host+":8080", hosts, "str("+examples.Host+":8080)", value, "if wiki", "if "+when,
			"use_backend wiki", "use_backend "+named, "backend wiki", "backend "+named, "server wiki", "server "+named, "127.0.0.1:3000", p.app).Replace(part)
	}
	exact, starred := slices.Clone(sites), slices.Clone(sites)
	byStar := func(a, b proxied) int {
		return strings.Count(a.name, "*") - strings.Count(b.name, "*")
	}
	slices.SortStableFunc(exact, byStar)
	slices.SortStableFunc(starred, func(a, b proxied) int { return byStar(b, a) })
	var binds string
	for _, p := range w.all() {
		bind := "    bind :" + p.port + "\n"
		if p.scheme == "https" {
			bind = "    bind :" + p.port + " ssl crt /etc/haproxy/certs/\n"
		}
		if !strings.Contains(binds, bind) {
			binds += bind
		}
	}
	text = strings.Replace(text, "    bind 127.0.0.1:8080\n", binds, 1)
	text = perSite(text, "    acl wiki", "\n    http-request return", starred, rename)
	text = perSite(text, "    use_backend wiki", "\nbackend", exact, rename)
	return perSite(text, "\nbackend wiki", "", sites, rename)
}

// caddyAddress is how a site block begins.
func caddyAddress(p proxied) string {
	if p.scheme == "http" {
		return "http://" + p.name + p.suffix
	}
	return p.name + p.suffix
}

func caddyHost(text string, w writer) string {
	return strings.Replace(text, "http://"+examples.SignIn+":8080 {\n\tbind 127.0.0.1\n", caddyAddress(w.host)+" {\n", 1)
}

// caddySites writes a site block for each site.
func caddySites(text string, w writer) string {
	return perSite(text, "http://"+examples.Host+":8080 {", "", w.sites, func(part string, p proxied) string {
		host := p.name
		if _, star := p.below(); star {
			host = "{host}" // by which Caddy chose the site
		}
		return strings.NewReplacer("http://"+examples.Host+":8080 {\n\tbind 127.0.0.1\n", caddyAddress(p)+" {\n", "Host "+examples.Host+":8080", "Host "+host+p.suffix, "127.0.0.1:3000", p.app).Replace(part)
	})
}

// traefikRule matches the names of p.
func traefikRule(p proxied) string {
	if parent, star := p.below(); star {
		return "HostRegexp(`^[^.]+\\." + regexp.QuoteMeta(parent) + "$`)"
	}
	return "Host(`" + p.name + "`)"
}

// traefikEntry is the entry point of p.
func traefikEntry(p proxied) string { return "port" + p.port }

func traefikHost(text string, w writer) string {
	return strings.Replace(text, "Host(`"+examples.SignIn+"`)\n      entryPoints: [web]", traefikRule(w.host)+"\n      entryPoints: ["+traefikEntry(w.host)+"]", 1)
}

// traefikSites writes the routers, the question and the app of each site.
func traefikSites(text string, w writer) string {
	const web, socket, way = "      entryPoints: [web]\n", "`(?i)^websocket$`)\n", "Host(`" + examples.Host + "`) && PathPrefix(`/_gatehouse/`)\n      entryPoints: [web]"
	rename := func(part string, p proxied) string {
		named := "site" + strconv.Itoa(slices.Index(w.sites, p)+1)
		entry, first, firstSocket := "      entryPoints: ["+traefikEntry(p)+"]\n", "", ""
		if w.isBelowStar(p) { // Traefik takes the longer rule
			first, firstSocket = "      priority: 500000 # above the star's\n", "      priority: 500001\n"
		}
		return strings.NewReplacer("Host(`"+examples.Host+"`)", traefikRule(p), socket+web, socket+entry+firstSocket, web, entry+first,
			"http://"+examples.Host+":8080", p.scheme+"://"+p.name+p.suffix, "127.0.0.1:3000", p.app, "wiki", named).Replace(part)
	}
	var rules, entries []string
	for _, p := range w.sites {
		if rule := traefikRule(p); !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
		if entry := traefikEntry(p); !slices.Contains(entries, entry) {
			entries = append(entries, entry)
		}
	}
	text = strings.Replace(text, way, "("+strings.Join(rules, " || ")+") && PathPrefix(`/_gatehouse/`)\n      entryPoints: ["+strings.Join(entries, ", ")+"]", 1)
	text = perSite(text, "    wiki:\n      rule", "\n  middlewares:", w.sites, rename)
	text = perSite(text, "    wiki-asks:", "\n  services:", w.sites, rename)
	text = perSite(text, "    wiki:\n      loadBalancer", "\n# ---- ", w.sites, rename)
	return traefikEntries(text, w.all())
}

// traefikEntries writes an entry point for each port, with TLS where it is that of
// https, and one that leads from port 80 to 443. Certificates are the file's, or a
// resolver's.
func traefikEntries(text string, all []proxied) string {
	const begin, odd = "  web:\n    address: 127.0.0.1:8080\n    http:\n", "      aliasHeadersStrategy: delete\n"
	var entries []string
	ports := map[string]bool{}
	for _, p := range all {
		if ports[p.port] {
			continue
		}
		ports[p.port] = true
		tls := ""
		if p.scheme == "https" {
			tls = "      tls: {}\n"
		}
		entries = append(entries, "  "+traefikEntry(p)+":\n    address: :"+p.port+"\n    http:\n"+tls+odd)
	}
	if ports["443"] && !ports["80"] {
		entries = append(entries, "  port80:\n    address: :80\n    http:\n      redirections:\n        entryPoint:\n          to: port443\n"+odd)
	}
	if slices.ContainsFunc(all, func(p proxied) bool { return p.scheme == "https" }) {
		text = strings.Replace(text, "http:\n  routers:\n", "tls:\n  certificates: # or a certResolver\n    - certFile: /etc/traefik/certs/sites.pem\n      keyFile: /etc/traefik/certs/sites.key\n\nhttp:\n  routers:\n", 1)
	}
	return text[:strings.Index(text, begin)] + strings.Join(entries, "") + text[strings.Index(text, odd)+len(odd):]
}

// envoyDomains are the names of p: Envoy compares them with the port.
func envoyDomains(p proxied) (names []string) {
	if names = []string{p.name + p.suffix}; p.suffix == "" {
		names = append(names, p.name+":"+p.port)
	}
	return names
}

// envoyList writes the names as the example has its own.
func envoyList(names []string) string { return `["` + strings.Join(names, `", "`) + `"]` }

func envoyHost(text string, w writer) string {
	return strings.Replace(text, envoyList([]string{examples.SignIn, examples.SignIn + ":8080"}), envoyList(envoyDomains(w.host)), 1)
}

// envoySites lets all sites through one virtual host, on the port of the first.
func envoySites(text string, w writer) string {
	var names []string
	for _, p := range w.sites {
		for _, name := range envoyDomains(p) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	first := w.all()[0]
	filters := "      filter_chains:\n        - filters:\n"
	tls := filters
	if first.scheme == "https" {
		tls = strings.Replace(filters, "- filters:", `- transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                tls_certificates:
                  - certificate_chain: { filename: /etc/envoy/certs/sites.pem }
                    private_key: { filename: /etc/envoy/certs/sites.key }
          filters:`, 1)
	}
	return strings.NewReplacer(envoyList([]string{examples.Host, examples.Host + ":8080"}), envoyList(names),
		"address: 127.0.0.1, port_value: 8080", "address: 0.0.0.0, port_value: "+first.port, filters, tls).Replace(text)
}
