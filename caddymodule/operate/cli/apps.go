package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// appsCommand lists the apps and makes keys for them. Keys stand in the
// configuration, which alone says what is good: a key that is made here is
// printed once, on standard output by itself, and what to do with it on
// standard error. It never reaches the server, whose log could keep it.
var appsCommand = operatorCommand{
	name: "apps", args: "[<app>]", short: "Lists apps, makes and rotates their keys", most: 1, run: appKeys,
	flags: func(c *cobra.Command) {
		c.Flags().Bool("new-key", false, "make a key for the app; works without a server, too")
		c.Flags().Bool("rotate", false, "make a key that is to take the place of those the app has")
		c.Flags().Bool("test", false, "with --new-key or --rotate: a key for test data")
		c.Flags().Bool("publishable", false, "with --new-key or --rotate: a key that may stand in a browser")
	},
	long: `Lists the clients of the JSON APIs with their keys, of which the server knows only
hashes, and when each was last used since the server began.

A new key is printed once, alone on standard output, so that it can go straight
into a file. It counts once it stands in the configuration, or in a file that
the configuration names, and that is loaded; until the old one is taken out
both are good.`,
	example: `  $ gatehouse apps
  $ gatehouse apps shop --new-key > /run/secrets/shop
  $ gatehouse apps shop --rotate >> /run/secrets/shop
  $ gatehouse apps shop --new-key --publishable --test`,
}

func appKeys(o *operator) error {
	makes := o.is("new-key") || o.is("rotate")
	switch {
	case o.is("new-key") && o.is("rotate"):
		return usage("say --new-key for one more key, or --rotate for one in place of the old")
	case makes && len(o.args) == 0:
		return usage("say for which app: gatehouse apps shop --rotate")
	case !makes && (o.is("test") || o.is("publishable")):
		return usage("--test and --publishable say what key to make: add --new-key or --rotate")
	case o.is("new-key"):
		return newAppKey(o, nil)
	}
	list, err := o.apps()
	if err != nil {
		return err
	}
	if o.is("rotate") {
		return rotateAppKey(o, list[0])
	}
	if o.json {
		return o.document(operate.AppList{Apps: list})
	}
	o.appTable(list)
	return nil
}

// apps asks for all apps, or for the one that is named.
func (o *operator) apps() ([]operate.App, error) {
	var all operate.AppList
	if err := o.api.call("GET", "apps", nil, &all); err != nil || len(o.args) == 0 {
		return all.Apps, err
	}
	known := "the configuration has none"
	for i, app := range all.Apps {
		if app.ID == o.args[0] {
			return all.Apps[i : i+1], nil
		}
		if i == 0 {
			known = "there are " + app.ID
		} else {
			known += ", " + app.ID
		}
	}
	return nil, &Failure{Code: ExitNo, Problem: fmt.Sprintf("there is no app %q: %s", o.args[0], known)}
}

func (o *operator) appTable(list []operate.App) {
	var rows [][]string
	for _, app := range list {
		if len(app.Keys) == 0 {
			rows = append(rows, []string{app.ID, app.Name, "none: every call is refused", "", "", ""})
		}
		for _, key := range app.Keys {
			used := "not since the start"
			if key.LastUsed != nil {
				used = ago(*key.LastUsed)
			}
			rows = append(rows, []string{app.ID, app.Name, key.ID, key.Kind, dataOf(key.Test), used})
		}
	}
	o.table("APP\tNAME\tKEY\tOPTION\tDATA\tLAST USED", rows)
	if len(list) == 0 {
		o.warn("there are no apps; write in the global gatehouse block\n    app shop {\n        api_key {file./run/secrets/shop}\n    }")
	}
}

func dataOf(test bool) string {
	if test {
		return "test"
	}
	return "live"
}

// madeKey is a key that was just made.
type madeKey struct {
	App      string   `json:"app"`
	Kind     string   `json:"kind"`
	Test     bool     `json:"test"`
	ID       string   `json:"id"`
	Key      string   `json:"key"`
	Replaces []string `json:"replaces,omitempty"` // ids of the keys to take out
}

// newAppKey makes a key; with replaces it says how to take those out.
func newAppKey(o *operator, replaces []string) error {
	if !apps.IsID(o.args[0]) {
		return usage("%q can't be the id of an app: it has 1 to 64 letters, digits, - or _", o.args[0])
	}
	made := madeKey{App: o.args[0], Kind: o.keyKind(), Test: o.is("test"), Replaces: replaces}
	key, text := apps.NewKey(made.Test, o.is("publishable"))
	made.ID, made.Key = key.ID(), text
	o.warn("key %s, for %s data. It is shown once, and good once it is loaded:", made.ID, dataOf(made.Test))
	for i, step := range made.steps() {
		o.warn("  %d. %s", i+1, step)
	}
	return o.did(made, made.Key)
}

func (o *operator) keyKind() string {
	if o.is("publishable") {
		return operate.PublishableKey
	}
	return operate.SecretKey
}

// steps is what to do with the key, in this order.
func (k *madeKey) steps() []string {
	file := fmt.Sprintf("{file./run/secrets/%s}", k.App)
	if len(k.Replaces) == 0 {
		return []string{
			fmt.Sprintf("have it in the configuration, in the block app %s: %s %s", k.App, k.Kind, file),
			"load the configuration: gatehouse reload --force",
		}
	}
	return []string{
		fmt.Sprintf("add it beside the old one, as one more line of the file or as one more word after %s", k.Kind),
		"load the configuration: gatehouse reload --force; both are good now",
		"give it to all callers; gatehouse apps " + k.App + " tells when the old one was last used",
		"take out " + strings.Join(k.Replaces, ", ") + " and load the configuration again",
	}
}

// rotateAppKey makes a key in place of those of the same kind.
func rotateAppKey(o *operator, app operate.App) error {
	var old []string
	for _, key := range app.Keys {
		if key.Kind == o.keyKind() && key.Test == o.is("test") {
			old = append(old, key.ID)
		}
	}
	if len(old) == 0 {
		return &Failure{ExitNo, fmt.Sprintf("app %s has no %s for %s data to replace", app.ID, o.keyKind(), dataOf(o.is("test"))), "make its first with --new-key"}
	}
	return newAppKey(o, old)
}
