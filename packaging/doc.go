// Command packaging makes what a release consists of, from a checkout:
//
//	go run . -version v0.1.0 -out ../dist/v0.1.0
//
// Binaries for every target (build.go), a container image for amd64 and arm64
// from an empty base (image.go), Debian and RPM packages (linux.go), and what
// shows where they come from (proof.go): checksums, a bill of materials for each
// binary and an in-toto statement, all without a signature. The same commit and
// version give the same bytes again. Nothing is uploaded or signed.
//
// It is a module of its own: its dependencies would lift those of Caddy in the
// product's go.mod.
package main
