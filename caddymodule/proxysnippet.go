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
	return strings.ReplaceAll(text, examples.Address, z.address), nil
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
