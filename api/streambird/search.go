package streambird

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// Limits of a page of users.
const pageMin, pageMax, pageDefault = 10, 100, 50

// fields are what users can be searched by: all values that a person has for
// one, and of addresses and numbers those that they are known by. What ends in
// _match is looked for inside of the value.
var fields = map[string]func(*person.Person) []string{
	"user_id": func(p *person.Person) []string { return []string{userPrefix + p.Subject} },
	"status":  func(p *person.Person) []string { return []string{status(p)} },
	"full_name_match": func(p *person.Person) []string {
		return []string{strings.Join(strings.Fields(p.Names.First+" "+p.Names.Middle+" "+p.Names.Last), " ")}
	},
	"email":                 func(p *person.Person) []string { return values(p.Named(p.Emails)) },
	"email_match":           func(p *person.Person) []string { return values(p.Named(p.Emails)) },
	"email_id":              func(p *person.Person) []string { return ids(emailPrefix, p.Emails) },
	"email_verified":        func(p *person.Person) []string { return verified(p.Emails) },
	"phone_number":          func(p *person.Person) []string { return values(p.Named(p.Phones)) },
	"phone_number_match":    func(p *person.Person) []string { return values(p.Named(p.Phones)) },
	"phone_number_id":       func(p *person.Person) []string { return ids(phonePrefix, p.Phones) },
	"phone_number_verified": func(p *person.Person) []string { return verified(p.Phones) },
	"wallet_public_address": nothing, "wallet_id": nothing, "totp_id": nothing, "totp_verified": nothing, "idp_provider": nothing,
}

func nothing(*person.Person) []string { return nil }

func values(list []person.Contact) (out []string) {
	for _, c := range list {
		out = append(out, c.Value)
	}
	return out
}

func ids(prefix string, list []person.Contact) (out []string) {
	for _, c := range list {
		out = append(out, prefix+c.ID)
	}
	return out
}

func verified(list []person.Contact) (out []string) {
	for _, c := range list {
		out = append(out, strconv.FormatBool(c.Verified))
	}
	return out
}

// filter tells whether a person is looked for.
type filter func(*person.Person) bool

// searchUsers lists users, the oldest first.
func (a *API) searchUsers(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	limit := int(o.Int("limit", pageDefault, pageMin, pageMax))
	after := o.String("starting_after")
	if err := o.Err(); err != nil {
		return err
	}
	match, err := filterOf(o)
	if err != nil {
		return err
	}
	after = strings.TrimPrefix(after, userPrefix)
	users, total, more := []user{}, 0, false
	err = a.service.Apps().EachPerson(c.R.Context(), c.Caller.Realm(), "", func(p person.Person) bool {
		if !match(&p) {
			return true
		}
		total++
		if p.Subject > after { // ids sort by age
			more = len(users) == limit
			if !more {
				users = append(users, userOf(&p))
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, map[string]any{"users": users, "total_count": total, "has_more": more})
}

// filterOf reads filters: conditions that must all hold, or of which one must.
func filterOf(o *api.Object) (filter, error) {
	f := o.Object("filters")
	operator, list := f.String("operator"), f.Objects("fields")
	for _, err := range []error{o.Err(), f.Err()} {
		if err != nil {
			return nil, err
		}
	}
	if operator != "" && operator != "AND" && operator != "OR" {
		return nil, api.Malformed("filters.operator", "AND or OR")
	}
	var all []filter
	for _, item := range list {
		one, err := conditionOf(item)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return func(p *person.Person) bool {
		holds := func(one filter) bool { return one(p) }
		if operator == "OR" {
			return len(all) == 0 || slices.ContainsFunc(all, holds)
		}
		return !slices.ContainsFunc(all, func(one filter) bool { return !one(p) })
	}, nil
}

// conditionOf reads one condition.
func conditionOf(o *api.Object) (filter, error) {
	field, operator := o.Need("field"), o.String("operator")
	if err := o.Err(); err != nil {
		return nil, err
	}
	get := fields[field]
	if get == nil {
		return nil, api.Malformed("filters.fields.field", "one that users can be searched by")
	}
	need := "value"
	if operator == "in" {
		need = "values"
	}
	if !o.Has(need) {
		return nil, api.Missing("filters.fields." + need)
	}
	value, err1 := textOf(o.Raw("value"))
	second, err2 := textOf(o.Raw("second_value"))
	list, err3 := textsOf(o.Raw("values"))
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, err
		}
	}
	equal := func(got, want string) bool { return got == want }
	if strings.HasSuffix(field, "_match") {
		equal = func(got, want string) bool { return strings.Contains(strings.ToLower(got), strings.ToLower(want)) }
	}
	var holds func(got string) bool
	switch operator {
	case "eq", "":
		holds = func(got string) bool { return equal(got, value) }
	case "in":
		holds = func(got string) bool {
			return slices.ContainsFunc(list, func(want string) bool { return equal(got, want) })
		}
	case "lt":
		holds = func(got string) bool { return got < value }
	case "gt":
		holds = func(got string) bool { return got > value }
	case "between":
		holds = func(got string) bool { return value <= got && got <= second }
	default:
		return nil, api.Malformed("filters.fields.operator", "eq, in, lt, gt or between")
	}
	return func(p *person.Person) bool { return slices.ContainsFunc(get(p), holds) }, nil
}

// textOf reads text, true, false or a number, as text.
func textOf(raw json.RawMessage) (string, error) {
	var text string
	if raw == nil || json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	if len(raw) > 0 && raw[0] != '{' && raw[0] != '[' {
		return string(raw), nil
	}
	return "", api.Malformed("filters.fields.value", "text, a number, true or false")
}

func textsOf(raw json.RawMessage) ([]string, error) {
	var list []json.RawMessage
	if raw != nil && json.Unmarshal(raw, &list) != nil {
		return nil, api.Malformed("filters.fields.values", "a list")
	}
	var out []string
	for _, item := range list {
		text, err := textOf(item)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}
