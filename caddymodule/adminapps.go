package caddymodule

import "time"

// appJSON is a client of the JSON APIs in the answer of GET /gatehouse/apps.
type appJSON struct {
	ID   string       `json:"id"`
	Name string       `json:"name"`
	Keys []appKeyJSON `json:"keys"`
}

// appKeyJSON is one of its keys, by a name from which the key can't be found.
type appKeyJSON struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // the option it stands in: api_key or publishable_key
	Test bool   `json:"test"`
	// LastUsed is when this process last saw it, null for not yet.
	LastUsed *time.Time `json:"last_used_at"`
}

// The options of an app that keys stand in.
const (
	secretKind      = "api_key"
	publishableKind = "publishable_key"
)

// adminApps lists the apps of the configuration.
func adminApps(c *adminCall) error {
	list := []appJSON{}
	for _, app := range c.run.service.Apps().All() {
		out := appJSON{ID: app.ID, Name: app.DisplayName(), Keys: []appKeyJSON{}}
		for _, key := range app.Keys {
			kind := secretKind
			if key.Publishable {
				kind = publishableKind
			}
			out.Keys = append(out.Keys, appKeyJSON{key.ID(), kind, key.Test, moment(c.run.core.KeyUsed(key))})
		}
		list = append(list, out)
	}
	return c.json(map[string]any{"apps": list})
}
