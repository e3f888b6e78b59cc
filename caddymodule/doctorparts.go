package caddymodule

import (
	"crypto/rand"
	"net"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/publicsuffix"
)

// version is that of this build.
func version() string {
	_, full := caddy.Version()
	return full
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
