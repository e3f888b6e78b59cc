package operate

import (
	"fmt"
	"slices"
	"strings"
)

// Opening says in one line what a start has put into use: what is guarded, how mail
// goes, where the store is, and what to open in a browser.
func (i *Instance) Opening() string {
	var where []string
	for _, g := range i.Gates {
		if !slices.Contains(where, g.At) {
			where = append(where, g.At)
		}
	}
	guarded := "nothing is guarded: no site has a line such as gatehouse *@example.com"
	if len(where) > 0 {
		guarded = "guarded: " + some(where)
	}
	var ways []string
	for _, s := range i.Senders {
		way := s.Name()
		if way == "log" {
			way = "shown on this terminal, not sent"
		} else if dir, ok := strings.CutPrefix(way, "dir "); ok {
			way = "written to " + dir + ", not sent"
		}
		ways = append(ways, way)
	}
	line := fmt.Sprintf("%s; mail: %s; store: %s", guarded, strings.Join(ways, ", else "), i.Store().Place())
	if len(i.Open) > 0 {
		line += "; open " + i.Open[0]
	}
	return line
}

// mostNamed is how many of many are named in a line.
const mostNamed = 5

// some are names, or the first few and how many more there are.
func some(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed-1], ", "), len(names)-mostNamed+1)
}
