package caddymodule

import (
	"testing"
	"time"
)

// BenchmarkGarbageCollector compares settings of Go's garbage collector in
// servers that run side by side: CPU time per proxied request with a session,
// as a share of that with Go's own setting, and the memory after the load.
func BenchmarkGarbageCollector(b *testing.B) {
	const rounds, perRound = 240, 300
	settings := []string{"100", "200", "400"}
	servers, cookies := map[string]*measured{}, map[string][]string{}
	for _, gogc := range settings {
		b.Setenv("GOGC", gogc)
		m := startMeasured(b, b.TempDir(), true)
		defer m.stop()
		servers[gogc], cookies[gogc] = m, []string{m.signIn("alice@example.com")}
	}
	targets := map[string]func(int) time.Duration{}
	for gogc, m := range servers {
		targets[gogc] = func(n int) time.Duration { return m.load(m.on, n, cookies[gogc]) }
	}
	var ratios map[string][]float64
	for b.Loop() {
		ratios = contest(rounds, perRound, "100", targets)
	}
	b.ReportMetric(0, "ns/op")
	for gogc, m := range servers {
		b.ReportMetric(median(ratios[gogc]), "x-GOGC100/"+gogc)
		b.ReportMetric(float64(m.number("rss"))/1024, "MB/"+gogc)
	}
}
