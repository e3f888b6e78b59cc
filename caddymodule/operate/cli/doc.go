// Package cli has the operators' commands: status, sessions, users, revoke,
// rotate-keys, apps, test-email, why, doctor, export, import, pages and convert.
//
// Commands lists them, for a binary to register. Each run finds the admin
// endpoint (Host.Endpoint), asks it (client.go), reads the answer into the types
// of package operate and prints it: for people, or with --json as one document. A
// Failure says what was wrong and what to try; the exit codes stand in cli.go.
// pages and convert ask no server.
//
// What an answer means is decided by the server: no command knows a rule. The
// package knows no Caddy, and keeps no state.
package cli
