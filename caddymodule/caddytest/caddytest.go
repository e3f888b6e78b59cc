// Package caddytest puts configurations into effect for tests that send requests
// to a whole Caddy.
package caddytest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
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
		twice, err := listensTwice()
		if err != nil {
			return err
		}
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

// listensTwice returns an address at which this process listens with two
// sockets, "" if there is none. Only Linux tells; elsewhere it is always "".
func listensTwice() (string, error) {
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil { // else closed meanwhile
			mine[to] = true
		}
	}
	seen := map[string]bool{}
	for _, family := range []string{"tcp", "tcp6"} {
		table, err := os.ReadFile("/proc/net/" + family)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		for line := range strings.Lines(string(table)) {
			// sl local_address rem_address st queues timer retrnsmt uid timeout inode
			f := strings.Fields(line)
			const listening = "0A"
			if len(f) < 10 || f[3] != listening || !mine["socket:["+f[9]+"]"] {
				continue
			}
			if seen[f[1]] {
				return f[1], nil
			}
			seen[f[1]] = true
		}
	}
	return "", nil
}
