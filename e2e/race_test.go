//go:build race

package e2e

// buildFlags make the command of the same packages as this test, so that
// nothing is compiled twice.
var buildFlags = []string{"-race"}
