// Package clients has no code of its own. Its tests use the APIs the way their
// clients do: with packages from npm, with a browser, with curl, and with the
// programs that the documentation shows; and the way broken ones do.
package clients
