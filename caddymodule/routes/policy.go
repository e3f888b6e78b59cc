package routes

import (
	"slices"
	"time"
)

// Policy is what a gate asks of a visitor, as it is written.
type Policy struct {
	Allow, Deny, Clients, Trust []string
	Fresh                       time.Duration
	ReportOnly                  bool
}

// covers tells whether nobody passes who would not pass other. Being behind any
// gate is not enough: gatehouse any beside gatehouse staff lets everybody by.
func (p Policy) covers(other Policy) bool {
	within := func(some, all []string) bool {
		return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
	}
	return (slices.Contains(other.Allow, "any") || within(p.Allow, other.Allow)) && within(other.Deny, p.Deny) &&
		(len(other.Clients) == 0 || len(p.Clients) > 0 && within(p.Clients, other.Clients)) && within(p.Trust, other.Trust) &&
		(other.Fresh == 0 || p.Fresh > 0 && p.Fresh <= other.Fresh) && (!p.ReportOnly || other.ReportOnly)
}
