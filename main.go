// Command gatehouse is Caddy with Gatehouse built in:
//
//	gatehouse run --config Caddyfile
//
// It has Caddy's commands but for upgrade, add-package and remove-package:
// these replace the binary by one from Caddy's build server, which knows
// nothing of Gatehouse.
package main

import (
	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

const about = `Gatehouse puts sign-in by email in front of your sites. This binary is the Caddy
web server with Gatehouse built in.

	$ gatehouse run --config Caddyfile        run in the foreground
	$ gatehouse validate --config Caddyfile   check a configuration
	$ gatehouse reload --config Caddyfile     take a change over

Everything that Caddy can do stands at https://caddyserver.com/docs/.`

func main() {
	caddy.CustomBinaryName = "gatehouse"
	caddy.CustomLongDescription = about
	for _, name := range []string{"upgrade", "add-package", "remove-package"} {
		delete(caddycmd.Commands(), name)
	}
	caddycmd.Main()
}
