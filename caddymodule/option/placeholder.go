package option

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"unicode"

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

// ExpandText puts in what placeholders stand for. One that resolves to nothing that can be seen, to a
// file that can't be read or that an editor has begun with a mark of its own, is an
// error that names it; no other part of the value is ever shown.
func ExpandText(option, value string) (string, error) {
	if !IsPlaceholder(value) {
		return value, nil
	}
	var unread, empty, marked []string
	value = Placeholders.ReplaceAllStringFunc(value, func(p string) string {
		var failed error
		v, _ := replacer(&failed).GetString(strings.Trim(p, "{}"))
		if failed != nil {
			unread = append(unread, failed.Error())
			return ""
		}
		switch {
		case isNothing(v):
			empty = append(empty, p)
		case strings.HasPrefix(v, "\ufeff"):
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

// isNothing tells whether a value has no character that can be seen: blanks, NULs and
// what has no width are left where a secret was never written.
func isNothing(value string) bool {
	return strings.TrimFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) }) == ""
}

// ExpandPath puts in what any of Caddy's placeholders stand for.
func ExpandPath(value string) (string, error) {
	var failed error
	expanded, err := replacer(&failed).ReplaceOrErr(value, true, true)
	return expanded, cmp.Or(failed, err)
}

// mostInFile bounds the file of a placeholder, as Caddy does.
const mostInFile = 1 << 20

// replacer is Caddy's, but for {file.…}: Caddy's own tells nothing of a file that can't
// be read, and waits at one that does not answer, or at a pipe, without end. A file
// that can't be read stands for nothing, and is noted in failed.
func replacer(failed *error) *caddy.Replacer {
	r := caddy.NewReplacer().WithoutFile()
	r.Map(func(key string) (any, bool) {
		path, is := strings.CutPrefix(key, "file.")
		if !is {
			return nil, false
		}
		content, err := files.Read(path, mostInFile)
		var named *fs.PathError
		if errors.As(err, &named) {
			err = named.Err // the placeholder has the path
		}
		if err != nil {
			*failed = fmt.Errorf("{%s}: %w", key, err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), true
	})
	return r
}
