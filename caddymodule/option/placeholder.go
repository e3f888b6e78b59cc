package option

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/internal/files"
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

// ExpandText puts in what placeholders stand for. One that resolves to nothing, to a
// file that can't be read or that an editor has begun with a mark of its own, is an
// error that names it; no other part of the value is ever shown.
func ExpandText(option, value string) (string, error) {
	if !IsPlaceholder(value) {
		return value, nil
	}
	var unread, empty, marked []string
	replacer := caddy.NewReplacer()
	value = Placeholders.ReplaceAllStringFunc(value, func(p string) string {
		if err := CheckFiles(p); err != nil {
			unread = append(unread, err.Error())
			return ""
		}
		v, _ := replacer.GetString(strings.Trim(p, "{}"))
		if v == "" {
			empty = append(empty, p)
		}
		if strings.HasPrefix(v, "\ufeff") {
			marked = append(marked, p)
		}
		return v
	})
	var problems []string
	if len(unread) > 0 {
		problems = append(problems, strings.Join(unread, " and ")+": write the path of a file that whoever runs Caddy can read")
	}
	if len(empty) > 0 {
		problems = append(problems, strings.Join(empty, " and ")+" resolves to nothing: set the variable, or write something into the file")
	}
	if len(marked) > 0 {
		problems = append(problems, strings.Join(marked, " and ")+" begins with a byte order mark, which an editor has put there: save it without")
	}
	if len(problems) > 0 {
		return "", fmt.Errorf("%s: %s", option, strings.Join(problems, "; "))
	}
	return value, nil
}

// CheckFiles looks at the files that {file.…} names in value before Caddy's replacer
// reads them: it tells nothing of one that can't be read, and waits at a pipe without
// end.
func CheckFiles(value string) error {
	for _, p := range Placeholders.FindAllString(value, -1) {
		path, is := strings.CutPrefix(strings.Trim(p, "{}"), "file.")
		if !is {
			continue
		}
		file, _, err := files.Open(path)
		var named *fs.PathError
		if errors.As(err, &named) {
			err = named.Err // the placeholder has the path
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		file.Close()
	}
	return nil
}
