package caddymodule

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Reloads, also refused ones, open nothing that stays open.
func TestReloadsLeaveNoFileOpen(t *testing.T) {
	m := newMachine(t)
	m.load("", "")
	m.signIn("alice@example.com")
	m.load("", "")
	before := openUnder(m.dir)
	for range 20 {
		m.load("", "")
		m.refuses([]byte(strings.Replace(string(m.config("", "")), `"apps":{`, `"apps":{"stubborn":{},`, 1)))
	}
	runtime.GC()
	if after := openUnder(m.dir); !slices.Equal(after, before) {
		t.Errorf("open before the reloads %v\nand after them %v", before, after)
	}
	must(t, caddy.Stop())
	left := slices.DeleteFunc(openUnder(m.dir), func(name string) bool { return name == m.logFile() })
	if len(left) > 0 {
		t.Errorf("open after the end: %v", left)
	}
}

// openUnder lists what this process has open in dir.
func openUnder(dir string) (names []string) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
