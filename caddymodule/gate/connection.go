package gate

import (
	"context"
	"net"
	"net/http"
)

// connection is a client's connection, on which HTTP/1 has one request at a
// time: ending it ends that request, and costs nothing until then.
type connection struct {
	conn   net.Conn
	cancel context.CancelFunc
}

type connectionKey struct{}

// ConnContext is for http.Server.ConnContext: requests then carry their
// connection, and need no context of their own to be cut.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	// No parent holds on to it: it goes with its connection.
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, connectionKey{}, &connection{conn, cancel})
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
