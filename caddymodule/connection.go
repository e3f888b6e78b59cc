package caddymodule

import (
	"context"
	"net"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// connection is a client's connection, on which HTTP/1 has one request at a
// time: ending it ends that request, and costs nothing until then.
type connection struct {
	conn   net.Conn
	cancel context.CancelFunc
}

type connectionKey struct{}

// knowConnections has requests of the server that is being provisioned carry
// their connection, once for all its gates.
func (a *App) knowConnections(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || slices.Contains(a.servers, server) {
		return
	}
	a.servers = append(a.servers, server)
	server.RegisterConnContext(func(ctx context.Context, conn net.Conn) context.Context {
		// No parent holds on to it: it goes with its connection.
		ctx, cancel := context.WithCancel(ctx)
		return context.WithValue(ctx, connectionKey{}, &connection{conn, cancel})
	})
}

// ownConnection is the connection that r has for itself, nil if it shares one
// or none is known.
func ownConnection(r *http.Request) *connection {
	if r.ProtoMajor != 1 {
		return nil
	}
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	return c
}
