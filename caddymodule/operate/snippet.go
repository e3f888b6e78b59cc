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
	text, err := examples.Read(proxy)
	if err != nil {
		return "", err
	}
	text = nameSites[proxy](text, asks.proxied())
	if host, port, err := net.SplitHostPort(asks.Address); err == nil { // Envoy's way
		text = strings.ReplaceAll(text, "address: 127.0.0.1, port_value: 9091", "address: "+host+", port_value: "+port)
	}
	return strings.ReplaceAll(asks.nameHeaders(text), examples.Address, asks.Address), nil
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

// nameSites puts sites into the place of the example's.
var nameSites = map[string]func(text string, sites []proxied) string{
	"nginx": nginxSites, "haproxy": haproxySites, "caddy": caddySites, "traefik": traefikSites, "envoy": envoySites,
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
		o := one.Origin(a.Scheme)
		p := proxied{name: s.Name(), scheme: o.Scheme(), port: o.Port()}
		if suffix := ":" + p.port; strings.HasSuffix(o.Host(), suffix) {
			p.suffix = suffix
		}
		if !slices.ContainsFunc(all, func(other proxied) bool {
			return other.name == p.name && other.scheme == p.scheme && other.port == p.port
		}) {
			p.app = "127.0.0.1:" + strconv.Itoa(3000+len(all))
			all = append(all, p)
		}
	}
	return all
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

// nginxSites writes a server block for each site, and for each port one that
// takes what names no site.
func nginxSites(text string, sites []proxied) string {
	text = perSite(text, "    server {\n        listen 127.0.0.1:8080;", "    # Whatever names no site", sites, func(part string, p proxied) string {
		listen, host := "listen "+p.port, p.name
		if p.scheme == "https" {
			file := strings.TrimPrefix(p.name, "*.")
			listen += " ssl;\n        ssl_certificate /etc/ssl/certs/" + file + ".pem;\n        ssl_certificate_key /etc/ssl/private/" + file + ".key"
		}
		if _, star := p.below(); star {
			host = "$host" // of the request line, by which nginx chose the block
		}
		return strings.NewReplacer("listen 127.0.0.1:8080", listen, "server_name "+examples.Host, "server_name "+p.name,
			"http://"+examples.Host+":8080", p.scheme+"://"+host+p.suffix, "127.0.0.1:3000", p.app).Replace(part)
	})
	var ports []proxied
	for _, p := range sites {
		if !slices.ContainsFunc(ports, func(other proxied) bool { return other.port == p.port }) {
			ports = append(ports, p)
		}
	}
	return perSite(text, "    server {\n        listen 127.0.0.1:8080 default_server;", "}\n\n", ports, func(part string, p proxied) string {
		listen := "listen " + p.port
		if p.scheme == "https" {
			listen += " ssl"
			part = strings.Replace(part, "default_server;\n", "default_server;\n        ssl_reject_handshake on;\n", 1)
		}
		return strings.Replace(part, "listen 127.0.0.1:8080", listen, 1)
	})
}

// haproxySites writes the lines and the backend of each site. Where two lines fit
// one Host, the site without a star counts, as for Gatehouse.
func haproxySites(text string, sites []proxied) string {
	mixed := slices.ContainsFunc(sites, func(p proxied) bool { return p.scheme != sites[0].scheme })
	rename := func(part string, p proxied) string {
		named := "site" + strconv.Itoa(slices.Index(sites, p)+1)
		when := named
		if mixed { // one name may be two sites
			when += map[bool]string{true: " { ssl_fc }", false: " !{ ssl_fc }"}[p.scheme == "https"]
		}
		optional := ""
		hosts := "-i " + p.name + p.suffix
		if p.suffix == "" {
			optional = "(:" + p.port + ")?"
			hosts += " " + p.name + ":" + p.port
		}
		value := "str(" + p.name + p.suffix + ")"
		if parent, star := p.below(); star {
			hosts = "-m reg -i ^[a-z0-9_-]+[.]" + strings.ReplaceAll(parent, ".", "[.]") + p.suffix + optional + "$"
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
	for _, p := range sites {
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

// caddySites writes a site block for each site.
func caddySites(text string, sites []proxied) string {
	return perSite(text, "http://"+examples.Host+":8080 {", "", sites, func(part string, p proxied) string {
		name := p.name + p.suffix
		if p.scheme == "http" {
			name = "http://" + name
		}
		host := p.name
		if _, star := p.below(); star {
			host = "{host}" // by which Caddy chose the site
		}
		return strings.NewReplacer("http://"+examples.Host+":8080 {\n\tbind 127.0.0.1\n", name+" {\n", "Host "+examples.Host+":8080", "Host "+host+p.suffix, "127.0.0.1:3000", p.app).Replace(part)
	})
}

// traefikSites lets all sites through one router.
func traefikSites(text string, sites []proxied) string {
	var rules []string
	for _, p := range sites {
		rule := "Host(`" + p.name + "`)"
		if parent, star := p.below(); star {
			rule = "HostRegexp(`^[^.]+\\." + regexp.QuoteMeta(parent) + "$`)"
		}
		if !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	return strings.ReplaceAll(text, "Host(`"+examples.Host+"`)", "("+strings.Join(rules, " || ")+")")
}

// envoySites lets all sites through one virtual host.
func envoySites(text string, sites []proxied) string {
	var names []string
	for _, p := range sites {
		if quoted := strconv.Quote(p.name + p.suffix); !slices.Contains(names, quoted) {
			names = append(names, quoted)
		}
	}
	return strings.Replace(text, `["`+examples.Host+`", "`+examples.Host+`:8080"]`, "["+strings.Join(names, ", ")+"]", 1)
}
