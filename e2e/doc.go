// Package e2e tests Gatehouse as a whole: a real Caddy in this process, a real
// SMTP server, a real browser (Debian's chromium) and an app behind the gate.
//
//	main_test.go       what all tests share, and the search of all logs for secrets
//	server_test.go     Caddy with a configuration; reload, stop, time that passes
//	upstream_test.go   the app behind the gate, which shows what it was sent
//	visitor_test.go    a person with an HTTP client
//	browser_test.go    a person with Chromium
//	wire_test.go       requests that no client library would write
//	gallery_test.go    every screen in every state, to look at with Chromium
//
// Tests run one after another, because a process can hold one Caddy.
package e2e
