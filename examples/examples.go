// Package examples holds ready configurations of other proxies in front of an
// app, with Gatehouse beside them. They run as they stand; the operators'
// command doctor prints them with the names of a running configuration.
package examples

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed Caddyfile nginx haproxy traefik envoy caddy kubernetes
var files embed.FS

// Proxies are the names that Read knows.
var Proxies = []string{"nginx", "haproxy", "traefik", "envoy", "caddy"}

// What stands in the examples for what every installation has of its own.
const (
	Address = "127.0.0.1:9091" // where gatehouse_authz listens
	Host    = "wiki.localhost" // the site
	SignIn  = "auth.localhost" // the sign-in host
	Portal  = "127.0.0.1:8081" // where its gatehouse_portal listens
)

// Read returns the files of one proxy, each under a line with its name: of nginx those
// that an nginx.conf includes.
func Read(proxy string) (string, error) {
	entries, err := fs.ReadDir(files, proxy)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, entry := range entries {
		if entry.Name() == "nginx.conf" {
			continue
		}
		text, err := fs.ReadFile(files, proxy+"/"+entry.Name())
		if err != nil {
			return "", err
		}
		comment := "#"
		if strings.HasSuffix(entry.Name(), ".lua") {
			comment = "--"
		}
		b.WriteString(comment + " ---- " + entry.Name() + " ----\n" + string(text) + "\n")
	}
	return b.String(), nil
}
