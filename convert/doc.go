// Package convert turns the configuration of another gate (Authelia,
// oauth2-proxy) into a Caddyfile for this one.
//
// A call reads a Source into a tree of keys that know their line (tree.go, or
// options.go for oauth2-proxy's three ways to write the same), translates it
// (authelia.go and, for its rules, access.go; oauth2proxy.go) and writes the Result. What can't be
// carried is a Note in the words of the source; every key that nobody read
// becomes one, too, unless it concerns the other program alone.
//
// Three rules hold everywhere, and convert_test.go holds them against models of
// both programs:
//
//   - What can't be carried is closed. A rule that holds for a part of the
//     requests (paths, methods, networks) admits nobody by itself, and whom it
//     refuses is refused at the whole site; a group whose people are not known
//     has Nobody in it.
//   - Nothing of the source is written out but what a key that is known to hold
//     no secret has, and only where it can stand in a Caddyfile as it is.
//   - The result can be validated as it is: what waits for a secret is a comment.
//
// The package knows no Caddy and no running server, and keeps no state.
package convert
