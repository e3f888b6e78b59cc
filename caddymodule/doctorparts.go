package caddymodule

import (
	"crypto/rand"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/publicsuffix"
)

// version is that of this build: of Gatehouse, and of the Caddy it is in.
func version() string {
	const module = "github.com/gatehouse-auth/gatehouse"
	own := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" {
				own = m.Version
			}
		}
	}
	simple, _ := caddy.Version()
	return own + ", Caddy " + simple
}

// storeName is where state lives.
func (a *App) storeName() string {
	dir, err := a.storeDir()
	if err != nil {
		return ""
	}
	return dir
}

func randomName() string { return strings.ToLower(rand.Text()) }

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// registrable is the domain that somebody has registered.
func registrable(domain string) string {
	if name, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return name
	}
	return domain
}

// isLocal tells whether host:port is this machine.
func isLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
