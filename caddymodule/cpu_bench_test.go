package caddymodule

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkProxiedRequest compares the CPU time of a proxied request with and
// without the gate: bare, one session, 2,000 sessions taking turns, what Caddy's
// own directives take for the same change of headers, and bare again, whose
// distance from 1 is the noise.
func BenchmarkProxiedRequest(b *testing.B) {
	const rounds, perRound, people = 600, 300, 2000
	m := startMeasured(b, b.TempDir(), true)
	defer m.stop()
	cookies := make([]string, people)
	for i := range cookies {
		cookies[i] = m.signIn(fmt.Sprintf("visitor%d@example.com", i))
	}
	m.load(m.on, people, cookies) // each is looked at once
	targets := map[string]func(int) time.Duration{
		"bare":         func(n int) time.Duration { return m.load(m.off, n, cookies[:1]) },
		"again":        func(n int) time.Duration { return m.load(m.off, n, cookies[:1]) },
		"same-headers": func(n int) time.Duration { return m.load(m.same, n, cookies[:1]) },
		"one":          func(n int) time.Duration { return m.load(m.on, n, cookies[:1]) },
		"2000": func(n int) time.Duration {
			cookies = append(cookies[n:], cookies[:n]...) // each in its turn
			return m.load(m.on, n, cookies)
		},
	}
	var ratios map[string][]float64
	for b.Loop() {
		ratios = contest(rounds, perRound, "bare", targets)
	}
	b.ReportMetric(0, "ns/op")
	for _, name := range []string{"one", "2000", "same-headers", "again"} {
		b.ReportMetric(median(ratios[name]), "x-bare/"+name)
	}
}

// BenchmarkSignIn is complete durable sign-ins over HTTP: four requests and three
// synced transactions each, mails to a sender that discards them. The first
// round warms up; the median of the others counts. Proxied requests without the
// gate take turns with them: in those it is told too, as this holds on a busy
// machine where milliseconds do not.
func BenchmarkSignIn(b *testing.B) {
	m := startMeasured(b, b.TempDir(), true)
	defer m.stop()
	const rounds, people, each = 20, 32, 20
	var cpu, inRequests, perSecond []float64
	m.signInAll(people, each, "warm-up")
	for b.Loop() {
		for range rounds {
			used, took := m.signInAll(people, each, fmt.Sprint(len(cpu)))
			request := m.load(m.off, people*each, []string{"a=b"})
			cpu = append(cpu, used.Seconds()*1000/(people*each))
			inRequests = append(inRequests, used.Seconds()/(people*each)/request.Seconds())
			perSecond = append(perSecond, people*each/took.Seconds())
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(cpu), "ms-cpu/sign-in")
	b.ReportMetric(median(inRequests), "x-bare-request")
	b.ReportMetric(median(perSecond), "sign-ins/s")
}

// signInAll signs many people in, so many at a time, each so often, and returns
// the server's CPU time and the time on the clock.
func (m *measured) signInAll(people, each int, round string) (cpu, took time.Duration) {
	before, began := m.number("cpu"), time.Now()
	var all sync.WaitGroup
	for p := range people {
		all.Go(func() {
			for i := range each {
				m.signIn(fmt.Sprintf("p%s-%d-%d@example.com", round, p, i))
			}
		})
	}
	all.Wait()
	return time.Duration(m.number("cpu") - before), time.Since(began)
}

// BenchmarkIdle compares memory and start of a server with 100,000 sessions
// with bare Caddy's.
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	m := startMeasured(b, dir, true)
	if got := m.ask("sessions 100000"); got != "made" {
		b.Fatal(got)
	}
	m.stop()
	var with, without, startWith, startWithout []float64
	for b.Loop() {
		for range 11 {
			rss, start := idle(b, dir, true)
			with, startWith = append(with, rss), append(startWith, start)
			rss, start = idle(b, b.TempDir(), false)
			without, startWithout = append(without, rss), append(startWithout, start)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(with)-median(without), "MB-above-bare")
	b.ReportMetric(median(startWith)-median(startWithout), "ms-start-above-bare")
	b.Logf("bare %.1f MB, %.0f ms; with the gate %.1f MB, %.0f ms", median(without), median(startWithout), median(with), median(startWith))
}

// idle starts a server, asks one page, and returns its memory in MB a moment
// later, and how long the first answer took from the start in ms.
func idle(b *testing.B, dir string, gate bool) (rss, start float64) {
	began := time.Now()
	m := startMeasured(b, dir, gate)
	defer m.stop()
	base, want := m.off, 200
	if gate {
		base, want = m.on, 401
	}
	resp, err := m.client.Get(base + "/")
	must(b, err)
	resp.Body.Close()
	if resp.StatusCode != want {
		b.Fatalf("%d, want %d", resp.StatusCode, want)
	}
	took := time.Since(began)
	time.Sleep(2 * time.Second)
	return float64(m.number("rss")) / 1024, float64(took.Milliseconds())
}
