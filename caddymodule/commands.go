package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "gatehouse", Short: "Asks and tells a running Gatehouse: sessions, people, mail, keys",
		CobraFunc: func(root *cobra.Command) {
			root.Use = "gatehouse <command>"
			root.Long = "Commands for whoever runs a site with Gatehouse. They talk to the running server\nover Caddy's admin endpoint.\n\n" + cli.ExitCodes
			for _, c := range Commands() {
				sub := &cobra.Command{Short: c.Short}
				c.CobraFunc(sub)
				root.AddCommand(sub)
			}
			cli.Arrange(root, "")
		},
	})
}

// Commands are the operators' commands, for a binary that has them at its root:
// gatehouse sessions, where other builds have caddy gatehouse sessions.
func Commands() (all []caddycmd.Command) {
	for _, c := range cli.Commands(cli.Host{Endpoint: adminEndpoint, Brand: brandOf, Exit: exitWith}) {
		all = append(all, caddycmd.Command{Name: c.Name, Short: c.Short, CobraFunc: c.Build})
	}
	return all
}

// ArrangeHelp has the help of a binary with the commands at its root show them first.
func ArrangeHelp(root *cobra.Command) { cli.Arrange(root, "The server (Caddy's commands):") }

// exitWith ends a command with another code than 1. Only Caddy's wrapper knows
// how to hand one to its main.
func exitWith(cmd *cobra.Command, code int) error {
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

// adminEndpoint finds the admin endpoint: at address if given, else where the
// configuration says, else where Caddy has it by itself.
func adminEndpoint(address, config, adapter string) (cli.Endpoint, error) {
	if address == "" && config != "" {
		var err error
		if address, err = adminAddress(config, adapter); err != nil {
			return cli.Endpoint{}, err
		}
	}
	if address == "" {
		address = caddy.DefaultAdminListen
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 || !parsed.IsUnixNetwork() && !strings.HasPrefix(parsed.Network, "tcp") {
		return cli.Endpoint{}, cli.NotAnAddress(address) // http://localhost:2019 is an address to Caddy, in the network "http:"
	}
	if parsed.IsUnixNetwork() {
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // permissions
	}
	return cli.Endpoint{Name: address, Network: parsed.Network, Address: parsed.JoinHostPort(0)}, nil
}

// adminAddress reads where a configuration has its admin endpoint.
func adminAddress(file, adapter string) (string, error) {
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return "", &cli.Failure{Code: cli.ExitUsage, Problem: err.Error()}
	}
	var parts struct {
		Admin struct {
			Disabled bool   `json:"disabled"`
			Listen   string `json:"listen"`
		} `json:"admin"`
	}
	if err := json.Unmarshal(config, &parts); err != nil {
		return "", &cli.Failure{Code: cli.ExitUsage, Problem: fmt.Sprintf("%s is not a configuration: %v", file, err)}
	}
	if parts.Admin.Disabled {
		return "", &cli.Failure{Code: cli.ExitFailed, Problem: file + " turns the admin endpoint off, which these commands talk to", Try: cli.TurnOn}
	}
	return parts.Admin.Listen, nil
}

// brandOf reads the brand of a configuration, which is not started.
func brandOf(config, adapter string) (screen.Brand, error) {
	if config == "" {
		return screen.Brand{}, nil
	}
	body, _, _, err := caddycmd.LoadConfig(config, adapter)
	if err != nil {
		return screen.Brand{}, err
	}
	var read struct {
		Apps struct {
			Gatehouse App `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return screen.Brand{}, fmt.Errorf("%s: %w", config, err)
	}
	return read.Apps.Gatehouse.Brand.look(), nil
}
