package caddytest

import (
	"net"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
)

// Ports are handed out below those that the system gives to connections, so that none
// takes one before it is used; and one after the other in a part of the range that
// depends on the process, so that neither this one nor another that tests beside it
// hands one out twice. Caddy would share it without a word.
const (
	firstPort = 11_000 // browsers refuse 10080
	parts     = 40
	inAPart   = 500
)

var handedOut atomic.Int64

// ofExamples is in a port that files of examples/ name: tests write others in their place,
// which must not look like them.
var ofExamples = regexp.MustCompile(`8080|8081|9091|300`)

// FreePort returns a port at which nothing listens, and which has no port of examples/ in it.
func FreePort(t testing.TB) string {
	t.Helper()
	for range inAPart {
		port := strconv.Itoa(firstPort + os.Getpid()%parts*inAPart + int(handedOut.Add(1)%inAPart))
		if ofExamples.MatchString(port) {
			continue
		}
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
