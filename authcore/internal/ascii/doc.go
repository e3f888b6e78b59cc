// Package ascii reads text by bytes, where Unicode's rules would fold or admit
// what names must keep apart.
package ascii
