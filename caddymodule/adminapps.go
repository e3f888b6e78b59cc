package caddymodule

import "github.com/gatehouse-auth/gatehouse/caddymodule/operate"

// adminApps lists the apps of the configuration.
func adminApps(c *adminCall) error {
	list := []operate.App{}
	for _, app := range c.run.service.Apps().All() {
		out := operate.App{ID: app.ID, Name: app.DisplayName(), Keys: []operate.AppKey{}}
		for _, key := range app.Keys {
			kind := operate.SecretKey
			if key.Publishable {
				kind = operate.PublishableKey
			}
			out.Keys = append(out.Keys, operate.AppKey{ID: key.ID(), Kind: kind, Test: key.Test, LastUsed: moment(c.run.core.KeyUsed(key))})
		}
		list = append(list, out)
	}
	return c.json(map[string]any{"apps": list})
}
