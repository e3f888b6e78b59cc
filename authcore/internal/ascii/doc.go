// Package ascii reads text by bytes, where Unicode's rules would fold or admit
// what names must keep apart.
//
// It knows no name, and keeps nothing.
package ascii
