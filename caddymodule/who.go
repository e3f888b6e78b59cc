package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

func (a *App) checkGroups() error {
	groups, err := a.parseGroups()
	if err != nil {
		return err
	}
	_, err = newGroups(groups, policy.NewLists(nil))
	return err
}

// newGroups words what is wrong with a group for the line that makes it.
func newGroups(named map[string][]policy.Who, lists *policy.Lists) (*policy.Groups, error) {
	groups, err := policy.NewGroups(named, lists)
	var who *policy.WhoError
	if errors.As(err, &who) {
		directive, _, _ := strings.Cut(err.Error(), ":") // group and its name
		who.Try[0] = "*@example.com"                     // another group might lead into a circle
		return nil, errors.New(who.For(directive))
	}
	return groups, err
}

func (a *App) parseGroups() (map[string][]policy.Who, error) {
	groups := map[string][]policy.Who{}
	for name, args := range a.Groups {
		if err := policy.CheckGroupName(name); err != nil {
			return nil, err
		}
		list, err := parseWho("group "+name, args)
		if err != nil {
			return nil, err
		}
		groups[name] = list
	}
	return groups, nil
}

// parseWho reads a list of people; its errors show lines to try that begin
// with directive.
func parseWho(directive string, args []string) ([]policy.Who, error) {
	if len(args) == 0 && directive != "gatehouse" {
		return nil, fmt.Errorf("nobody is named after %s; write for example\n    %[1]s *@example.com\n    %[1]s alice@example.com", directive)
	}
	list, err := policy.ParseWhoList(args)
	return list, forDirective(directive, err)
}

// forDirective words a WhoError for the directive that it happened in.
func forDirective(directive string, err error) error {
	var who *policy.WhoError
	if errors.As(err, &who) {
		return errors.New(who.For(directive))
	}
	return err
}

// usersOfList names what admits or refuses the people of the list at path.
func (a *App) usersOfList(path string) string {
	var all []string
	entry := "file:" + path
	for _, name := range slices.Sorted(maps.Keys(a.Groups)) {
		if slices.Contains(a.Groups[name], entry) {
			all = append(all, "group "+name)
		}
	}
	for _, g := range a.allGates() {
		if slices.Contains(g.Allow, entry) || slices.Contains(g.Deny, entry) {
			all = append(all, "the gate at "+g.String())
		}
	}
	for _, c := range a.Apps {
		if slices.Contains(c.Allow, entry) {
			all = append(all, "app "+c.ID)
		}
	}
	return strings.Join(all, ", ")
}
