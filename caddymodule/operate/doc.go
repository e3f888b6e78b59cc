// Package operate is what operators ask and tell a running Gatehouse.
package operate
