// Command gatehouse is Caddy with Gatehouse built in:
//
//	gatehouse run --config Caddyfile
//
// It has Caddy's commands but for upgrade, add-package and remove-package:
// these replace the binary by one from Caddy's build server, which knows
// nothing of Gatehouse. Its validate finds what a start would.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddymodule"
)

const about = `Gatehouse puts sign-in by email in front of your sites. This binary is the Caddy
web server with Gatehouse built in: everything that Caddy can do stands at
https://caddyserver.com/docs/.`

const examples = `  $ gatehouse run --config Caddyfile
  $ gatehouse validate --config Caddyfile
  $ gatehouse reload --config Caddyfile
  $ gatehouse sessions
  $ gatehouse why alice@example.com https://app.example.com`

// gogc is the garbage collector's target in percent where the environment sets
// none: a proxy's heap is so small that Go's own 100 collects all the time.
// Measured, it saves a twelfth of the CPU and costs 15 MB (docs/benchmarks.md).
const gogc = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gogc)
	}
	arrange()
	caddycmd.Main()
}

// arrange makes Caddy's commands those of this binary.
func arrange() {
	caddy.CustomBinaryName = "gatehouse"
	caddy.CustomLongDescription = about
	for _, c := range caddymodule.Commands() { // at the root, where people look
		caddycmd.RegisterCommand(c)
	}
	changeRoot(func(root *cobra.Command) {
		root.Example = examples
		root.Version = "Gatehouse " + caddymodule.Version()
		for _, c := range root.Commands() {
			if slices.Contains([]string{"upgrade", "add-package", "remove-package", "gatehouse"}, c.Name()) {
				root.RemoveCommand(c)
			}
			switch c.Name() {
			case "validate":
				caddymodule.FullValidation(c)
			case "reload":
				caddymodule.TellingReload(c)
			case "version":
				c.Long = "Prints the version of Gatehouse, and of the Caddy it is built with."
				c.RunE = func(c *cobra.Command, _ []string) error {
					_, err := fmt.Fprintln(c.OutOrStdout(), root.Version)
					return err
				}
			}
		}
		caddymodule.ArrangeHelp(root)
	})
}

// changeRoot lets change see Caddy's root command with all that is under it.
// Caddy offers no way to it, but builds the commands one after the other, and
// one that has been added knows its parent: the second of two finds the root
// through the first. The second stays, hidden and without effect.
func changeRoot(change func(root *cobra.Command)) {
	var first *cobra.Command
	register := func(name string, build func(*cobra.Command)) {
		caddycmd.RegisterCommand(caddycmd.Command{Name: name, Short: "does nothing", CobraFunc: func(c *cobra.Command) {
			c.Hidden = true
			build(c)
		}})
	}
	register("zz-first", func(c *cobra.Command) { first = c })
	register("zz-second", func(*cobra.Command) {
		root := first.Parent()
		root.RemoveCommand(first)
		change(root)
	})
}
