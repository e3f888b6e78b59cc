package caddymodule

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What strangers send is refused for less than 5 ms of CPU and 1 MiB, with one
// line in the log.
func TestBadInputIsCheap(t *testing.T) {
	const cookie = "__Host-gatehouse="
	f := newFixture(t)
	good := strings.TrimPrefix(f.signIn("alice@example.com", testSite), cookie)
	part := strings.Split(good, ".")
	encoded := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	forged := part[0] + "." + part[1] + "." + strings.Repeat("A", len(part[2]))
	repeat := func(n int, line string) (lines []string) {
		for i := range n {
			lines = append(lines, strings.ReplaceAll(line, "%", fmt.Sprint(i)))
		}
		return lines
	}
	for name, c := range map[string]struct {
		target  string
		headers []string
	}{
		"cookie of 16 KB":            {"/", []string{"Cookie: " + cookie + strings.Repeat("x", 16<<10)}},
		"token of 16 KB":             {"/", []string{"Cookie: " + cookie + part[0] + "." + encoded(strings.Repeat(`{"a":`, 2400)) + "." + part[2]}},
		"500 session cookies":        {"/", []string{"Cookie: " + strings.Join(repeat(500, cookie+"%"), "; ")}},
		"500 forged sessions":        {"/", []string{"Cookie: " + strings.Join(repeat(500, cookie+forged+"%"), "; ")}},
		"500 cookies, ours in turns": {"/", []string{"Cookie: " + strings.Join(repeat(250, "a%=b; gatehouse-flow=c%"), "; ")}},
		"500 Cookie headers":         {"/", repeat(500, "Cookie: "+cookie+"%")},
		"64 KB of headers":           {"/", repeat(1000, "X_Forwarded.User-%: "+strings.Repeat("x", 40))},
		"64 KB in Connection":        {"/", []string{"Connection: " + strings.Repeat("x,", 32<<10)}},
		"forged signature":           {"/", []string{"Cookie: " + cookie + forged}},
		"no algorithm":               {"/", []string{"Cookie: " + cookie + encoded(`{"alg":"none"}`) + "." + part[1] + "."}},
		"encrypted token":            {"/", []string{"Cookie: " + cookie + encoded(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}`) + ".a.b.c.d"}},
		"machine token of 16 KB":     {"/", []string{"Authorization: Bearer gh_" + strings.Repeat("x", 16<<10)}},
		"path of 16 KB":              {"/" + strings.Repeat("%2e%2e/", 2300), []string{"Accept: text/html"}},
		"flow of 16 KB at a page":    {"/_gatehouse/code", []string{"Cookie: __Host-gatehouse-flow=" + strings.Repeat("x", 16<<10)}},
		"query of 16 KB at a page":   {"/_gatehouse/login?return_to=" + strings.Repeat("%2f", 5400), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			app := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
				t.Error("it was let through")
				return nil
			})
			gate := handler(f.gate(nil), app)
			serve := func() {
				w := httptest.NewRecorder()
				gate.ServeHTTP(w, request("GET", testSite+c.target, c.headers...))
				if w.Code >= 500 {
					t.Errorf("answered %d", w.Code)
				}
			}
			serve() // what is made once
			const times = 10
			bytes, cpu := spent(func() {
				for range times {
					serve()
				}
			})
			if bytes /= times; bytes > 1<<20 {
				t.Errorf("it takes %d KiB", bytes>>10)
			}
			if cpu /= times; cpu > raceFactor*5*time.Millisecond {
				t.Errorf("it takes %v of CPU", cpu)
			}
			if n := f.logs.Len(); n > 1 {
				t.Errorf("%d lines in the log: %v", n, f.logs.All())
			}
		})
	}
}

// spent is what do allocates, and its CPU time.
func spent(do func()) (bytes uint64, cpu time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := threadTime()
	do()
	cpu = threadTime() - began
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, cpu
}

func threadTime() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	_ = syscall.Getrusage(thisThread, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
