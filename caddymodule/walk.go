package caddymodule

import "github.com/gatehouse-auth/gatehouse/authcore"

// placeGates finds out where every gate stands.
func (a *App) placeGates() error { return nil }

// covers tells whether a gate stands at o.
func (p *place) covers(o authcore.Origin) bool { return p != nil }

// guards tells whether the gate looks at requests for path.
func (g *Gate) guards(path string) bool { return true }
