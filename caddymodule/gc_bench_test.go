package caddymodule

import (
	"testing"
	"time"
)

// BenchmarkGarbageCollector compares settings of Go's garbage collector in
// servers that run side by side: CPU time per proxied request with a session,
// as a share of that with Go's own setting, and the memory after the load.
func BenchmarkGarbageCollector(b *testing.B) {
	const rounds, perSlice = 40, 1_000
	settings := []string{"100", "200", "400"}
	servers, cookies := map[string]*measured{}, map[string][]string{}
	for _, gogc := range settings {
		b.Setenv("GOGC", gogc)
		m := startMeasured(b, b.TempDir(), true)
		defer m.stop()
		servers[gogc], cookies[gogc] = m, []string{m.signIn("alice@example.com")}
	}
	var ratios map[string][]float64
	for b.Loop() {
		ratios = map[string][]float64{}
		for range rounds {
			spent := map[string]time.Duration{}
			for gogc, m := range servers { // in an order that changes
				spent[gogc] = m.load(m.on, perSlice, cookies[gogc])
			}
			for gogc := range servers {
				ratios[gogc] = append(ratios[gogc], float64(spent[gogc])/float64(spent["100"]))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for gogc, m := range servers {
		b.ReportMetric(median(ratios[gogc]), "x-GOGC100/"+gogc)
		b.ReportMetric(float64(m.number("rss"))/1024, "MB/"+gogc)
	}
}
