package e2e

import "testing"

// The ready configurations of examples/, each with everything that must hold
// behind another proxy.

func TestNginx(t *testing.T) {
	top := newTopology(t)
	top.process("nginx", "nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	top.tour(t)
}

func TestHAProxy(t *testing.T) {
	top := newTopology(t)
	top.process("haproxy", "haproxy", "-db", "-f", "haproxy.cfg")
	top.tour(t)
}

func TestCaddyForwardAuth(t *testing.T) {
	top := newTopology(t, "caddy/Caddyfile")
	top.tour(t)
}
