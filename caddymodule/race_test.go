//go:build race

package caddymodule

// raceFactor is how much slower the race detector may make things.
const raceFactor = 20
