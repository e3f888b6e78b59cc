//go:build prove

package cluster_test

import (
	"os"
	"strings"
	"testing"
)

// Patroni as the example has it: what it finds wrong with the file, and a switchover while
// people sign in.
func TestPatroni(t *testing.T) {
	c := newCluster(t)
	c.run("etcd")
	script := c.dir + "/files/cluster.sh"
	text, err := os.ReadFile(script)
	must(t, err)
	must(t, os.WriteFile(script, []byte(strings.Replace(string(text), "exec patroni ", "exec patroni --validate-config ", 1)), 0o755))
	out, _ := c.command("patroni", "first").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// That members must not find each other at loopback addresses is what this is:
		// one machine.
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "must not contain") && !strings.Contains(line, "pg_hba  is not defined") {
			t.Errorf("patroni --validate-config: %s", line)
		}
	}
	must(t, os.WriteFile(script, text, 0o755))
	c.run("patroni", "first")
	c.says("I am (first), the leader", "patroni", "first")
	c.run("patroni", "second")
	c.says("I am (second), a secondary", "patroni", "second")
	c.says("started streaming", "patroni", "second")
	c.serve()
	c.try(func() { c.done("patronictl", "switchover", "--force", "--master", "first", "--candidate", "second") }, nil)
}
