package gate

import (
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/caddymodule/gate/header"
)

// Field is an identity header of any name, for apps that read none of a preset.
type Field struct {
	// Name is the header's: letters, digits and hyphens, such as X-WEBAUTH-USER.
	Name string `json:"name"`
	// Value is what stands in it: email, local (the part of the address before the
	// @), name, groups (comma separated) or sub.
	Value string `json:"value"`
}

// fieldParts are the words for Field.Value.
var fieldParts = map[string]part{"email": emailPart, "local": localPart, "name": namePart, "groups": groupsPart, "sub": subPart}

// CheckFields finds what is wrong with the fields of one gate.
func CheckFields(all []Field) error {
	for i, f := range all {
		if err := f.check(); err != nil {
			return fmt.Errorf("header %s: %w", f.Name, err)
		}
		for _, other := range all[:i] {
			if header.Fold(other.Name) == header.Fold(f.Name) {
				return fmt.Errorf("header %s: %s is the same header to many apps: keep one of the two", f.Name, other.Name)
			}
		}
	}
	return nil
}

const tryField = "write for example\n    header X-WEBAUTH-USER email"

func (f Field) check() error {
	switch {
	case !header.IsName(f.Name):
		return fmt.Errorf("a name has letters, digits and hyphens, at most %d; %s", header.MaxName, tryField)
	case header.ClaimOf(f.Name) == header.IdentityClaim:
		return errors.New("headers of presets are set by the option headers, as in\n    headers remote")
	case header.IsSpokenFor(f.Name):
		return fmt.Errorf("this name has a meaning of its own to browsers, servers or proxies, so it can't say who somebody is; %s", tryField)
	}
	if _, ok := fieldParts[f.Value]; !ok {
		return fmt.Errorf("%q is not what a header can say; there are email, local, name, groups and sub; %s", f.Value, tryField)
	}
	return nil
}

// Claim has every handler of the house take these headers away from what clients
// send. It is called before the first request.
func (h *House) Claim(all []Field) {
	for _, f := range all {
		h.fields.Add(f.Name)
	}
}
