// Package caddymodule is Gatehouse in Caddy: gates and portals as handlers, the
// app that holds what they share, operators' calls and commands.
package caddymodule
