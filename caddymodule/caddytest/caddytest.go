// Package caddytest puts configurations into effect for tests that send requests
// to a whole Caddy.
//
// State of the process: the transports that are to keep no connection over a Load.
package caddytest

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// patience is how long Load waits. Test machines are busy.
const patience = 30 * time.Second

// Load puts config into effect, and lets the next request meet it; if config is
// refused, the one before it. caddy.Load comes back while servers that end may
// still take connections at the same address: these are answered by the wrong
// configuration, or reset. So are connections that a client has kept.
func Load(config []byte) error {
	return errors.Join(caddy.Load(config, true), settle())
}

// settle waits until one server listens at each address.
func settle() error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		twice := listensTwice()
		if twice == "" {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("two servers listen at %s, long after a reload", twice)
		}
	}
	kept.Range(func(transport, _ any) bool {
		transport.(*http.Transport).CloseIdleConnections()
		return true
	})
	return nil
}

var kept sync.Map // of *http.Transport

// Keep lets a transport keep connections until the end of the test, and none of
// them over a Load.
func Keep(t testing.TB, transport *http.Transport) {
	kept.Store(transport, nil)
	t.Cleanup(func() {
		kept.Delete(transport)
		transport.CloseIdleConnections()
	})
}
