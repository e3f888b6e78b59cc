package caddymodule

import (
	"errors"
	"fmt"
	"os"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// FullValidation has Caddy's command validate find what a start would: it also
// walks over the routes, and reads the files that the configuration names. What it
// passes, a reload takes, but for what only the store, the network and the running
// server know.
func FullValidation(validate *cobra.Command) {
	caddys := validate.RunE
	validate.Long += `

Then it looks for gates whose sign-in pages nobody reaches, apps that are reached
past a gate and whatever else a start refuses, and reads templates, logo, lists of
people and secrets; the last only without --offline. It opens no store and asks no
other machine.`
	validate.Flags().Bool("offline", false, "Read no templates, logo, lists and secrets")
	validate.RunE = func(cmd *cobra.Command, args []string) error {
		if err := quietly(func() error { return caddys(cmd, args) }); err != nil {
			return err
		}
		flags := cmd.Flags()
		file, _ := flags.GetString("config")
		adapter, _ := flags.GetString("adapter")
		offline, _ := flags.GetBool("offline")
		if err := examineFile(file, adapter, offline); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "Valid configuration")
		return nil
	}
}

// quietly does something without what it prints: Caddy's command calls a
// configuration valid that has not been examined yet.
func quietly(do func() error) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	out := os.Stdout
	os.Stdout = null
	defer func() { os.Stdout = out }()
	return do()
}

func examineFile(file, adapter string, offline bool) error {
	raw, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return err
	}
	config := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(caddy.RemoveMetaFields(raw), config); err != nil {
		return err
	}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		return err
	}
	app, err := ctx.AppIfConfigured("gatehouse")
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil
	}
	if err != nil {
		return err
	}
	return app.(*App).examine(offline)
}

// examine does what a start does before it opens the store, and nothing that lasts.
func (a *App) examine(offline bool) error {
	if offline {
		return a.placeGates()
	}
	defer a.closeSenders()
	p, err := a.prepare()
	if err != nil {
		return err
	}
	_, err = p.composer()
	return err
}
