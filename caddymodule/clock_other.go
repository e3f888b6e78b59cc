//go:build !linux

package caddymodule

// clockSynced can't be told here.
func clockSynced() (synced, known bool) { return false, false }
