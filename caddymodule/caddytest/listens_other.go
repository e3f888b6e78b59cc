//go:build !linux

package caddytest

// listensTwice can't tell here.
func listensTwice() string { return "" }
