// The Traefik that the long proofs run: .ci/traefik builds it.
module github.com/gatehouse-auth/gatehouse/e2e/traefik

go 1.26.0

require (
	github.com/go-acme/lego/v5 v5.4.1
	github.com/traefik/traefik/v3 v3.7.13
)

// As Traefik's own, but for go-http-auth (basic and digest authentication), whose
// newer pin is not served.
replace (
	github.com/abbot/go-http-auth => github.com/containous/go-http-auth v0.4.1-0.20200324110947-a37a7636d23e
	github.com/gorilla/mux => github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59
	github.com/traefik/traefik/dynamic/ext => ./ext
)
