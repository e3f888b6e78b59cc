package caddymodule

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/examples"
)

// proxySnippet is the configuration of another proxy for the sites that the
// first gatehouse_authz names.
func (a *App) proxySnippet(proxy string) (string, error) {
	if !slices.Contains(examples.Proxies, proxy) {
		return "", fmt.Errorf("there is no proxy called %q here; there are %s", proxy, strings.Join(examples.Proxies, ", "))
	}
	if len(a.authzs) == 0 {
		return "", fmt.Errorf("this configuration answers no other proxy; write in a site of its own\n    http://:9091 {\n        bind 127.0.0.1\n        gatehouse_authz {\n            login https://auth.example.com\n            site wiki.example.com *@example.com\n        }\n    }")
	}
	text, err := examples.Read(proxy)
	if err != nil {
		return "", err
	}
	z := a.authzs[0]
	for _, change := range nameSites[proxy] {
		text = strings.ReplaceAll(text, change.from, change.to(z.Sites))
	}
	if host, port, err := net.SplitHostPort(z.address); err == nil { // Envoy's way
		text = strings.ReplaceAll(text, "address: 127.0.0.1, port_value: 9091", "address: "+host+", port_value: "+port)
	}
	text = nameHeaders(text, z.headerNames())
	return strings.ReplaceAll(text, examples.Address, z.address), nil
}

// headerNames are the identity headers that some site's presets set.
func (a *Authz) headerNames() []string {
	var names []string
	for _, s := range a.Sites {
		for _, f := range newHeaderSet(s.Headers).fields {
			if !slices.Contains(names, f.name) {
				names = append(names, f.name)
			}
		}
	}
	return names
}

// claimNames are those of all presets: what the proxy does not set, it has to
// take from its clients.
func claimNames() []string {
	var names []string
	for _, preset := range []string{"remote", "forwarded", "auth_request", "cloudflare", "assertion"} {
		for _, f := range presets[preset] {
			names = append(names, f.name)
		}
	}
	return names
}

// headerList is the headers of the preset remote on one line.
var headerList = regexp.MustCompile(`(?i)("?)remote-user("?,? "?)remote-email"?,? "?remote-name"?,? "?remote-groups("?)`)

// nameHeaders puts headers into the place of those of the preset remote, which
// the examples have. There they stand in a list on one line, or each on lines of
// their own; what removes a client's has "remove" or an empty value.
func nameHeaders(text string, headers []string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if list := headerList.FindStringSubmatch(line); list != nil {
			if len(headers) > 0 || list[1] != "" {
				out.WriteString(strings.Replace(line, list[0], listAs(list, headers), 1))
			}
			continue
		}
		removes := strings.Contains(line, "remove:") || strings.Contains(line, `""`) || strings.Contains(line, "request_header -")
		switch name := headerIn(line); {
		case name == "" || strings.HasPrefix(strings.TrimSpace(line), "#") || removes && !strings.Contains(line, "proxy_set_header"):
			out.WriteString(line)
		case !removes && name == "Remote-User":
			writeFor(&out, line, name, headers)
		case removes && name == "X-Forwarded-User":
			others := slices.DeleteFunc(claimNames(), func(n string) bool { return slices.Contains(headers, n) })
			writeFor(&out, line, name, others)
		}
	}
	return out.String()
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
func headerIn(line string) string {
	for _, name := range claimNames() {
		if strings.Contains(line, name) || strings.Contains(line, strings.ToLower(name)) || strings.Contains(line, variable(name)) {
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
		out.WriteString(strings.NewReplacer(from, to, strings.ToLower(from), strings.ToLower(to), variable(from), variable(to)).Replace(line))
	}
}

// siteChange puts the names of sites into the place of the example's.
type siteChange struct {
	from string
	to   func([]*AuthzSite) string
}

var nameSites = map[string][]siteChange{
	"nginx":   {{"server_name " + examples.Host, func(s []*AuthzSite) string { return "server_name " + joinSites(s, " ", siteHost) }}},
	"caddy":   {{"http://" + examples.Host + ":8080 {\n\tbind 127.0.0.1\n", func(s []*AuthzSite) string { return joinSites(s, ", ", siteHost) + " {\n" }}},
	"traefik": {{"Host(`" + examples.Host + "`)", func(s []*AuthzSite) string { return "(" + joinSites(s, " || ", traefikRule) + ")" }}},
	"envoy": {{`["` + examples.Host + `", "` + examples.Host + `:8080"]`, func(s []*AuthzSite) string {
		return "[" + joinSites(s, ", ", func(p authcore.SitePattern) string { return fmt.Sprintf("%q", siteHost(p)) }) + "]"
	}}},
}

func joinSites(sites []*AuthzSite, by string, name func(authcore.SitePattern) string) string {
	var names []string
	for _, s := range sites {
		names = append(names, name(s.pattern))
	}
	return strings.Join(names, by)
}

// siteHost is the name without scheme and port.
func siteHost(p authcore.SitePattern) string {
	name := p.String()
	if _, after, ok := strings.Cut(name, "://"); ok {
		name = after
	}
	return strings.TrimSuffix(name, portOf.FindString(name))
}

var portOf = regexp.MustCompile(`:[0-9]+$`)

func traefikRule(p authcore.SitePattern) string {
	host := siteHost(p)
	if parent, star := strings.CutPrefix(host, "*."); star {
		return "HostRegexp(`^[^.]+\\." + regexp.QuoteMeta(parent) + "$`)"
	}
	return "Host(`" + host + "`)"
}
