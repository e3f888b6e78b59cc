package option

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Placeholders are the ones that a secret may have.
var Placeholders = regexp.MustCompile(`\{(env|file)\.[^{}]*\}`)

// IsPlaceholder tells whether a value is known only on the machine.
func IsPlaceholder(value string) bool { return Placeholders.MatchString(value) }

// ExpandSecret is ExpandText for a password or key, which is one line: a file with
// more is not what is meant.
func ExpandSecret(option, value string) (string, error) {
	expanded, err := ExpandText(option, value)
	if err != nil || !IsPlaceholder(value) {
		return expanded, err
	}
	expanded = strings.TrimRight(expanded, "\r\n")
	if strings.ContainsAny(expanded, "\r\n") {
		from := strings.Join(Placeholders.FindAllString(value, -1), " and ")
		return "", fmt.Errorf("%s: %s has more than one line: keep the secret alone in it", option, from)
	}
	return expanded, nil
}

// ExpandText puts in what placeholders stand for. One that resolves to nothing, or
// to a file that an editor has begun with a mark of its own, is an error that names
// it; no other part of the value is ever shown.
func ExpandText(option, value string) (string, error) {
	if !IsPlaceholder(value) {
		return value, nil
	}
	var empty, marked []string
	replacer := caddy.NewReplacer()
	value = Placeholders.ReplaceAllStringFunc(value, func(p string) string {
		v, _ := replacer.GetString(strings.Trim(p, "{}"))
		if v == "" {
			empty = append(empty, p)
		}
		if strings.HasPrefix(v, "\ufeff") {
			marked = append(marked, p)
		}
		return v
	})
	switch {
	case len(empty) > 0:
		return "", fmt.Errorf("%s: %s resolves to nothing: set the variable, or check that the file is there, readable and not empty", option, strings.Join(empty, " and "))
	case len(marked) > 0:
		return "", fmt.Errorf("%s: %s begins with a byte order mark, which an editor has put there: save it without", option, strings.Join(marked, " and "))
	}
	return value, nil
}
