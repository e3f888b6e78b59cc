package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

type whoKind uint8

const (
	whoAddress whoKind = iota + 1
	whoDomain
	whoGroup
	whoFile
	whoAny
)

// Who is one entry of a list of people. The zero value names nobody.
type Who struct {
	kind  whoKind
	value string // canonical address, domain as A-label, group name, path; empty for any
}

// String returns the entry as it stands in a configuration.
func (w Who) String() string {
	switch w.kind {
	case whoDomain:
		return "*@" + w.value
	case whoFile:
		return "file:" + w.value
	case whoAny:
		return "any"
	}
	return w.value
}

// WhoError says why a text names nobody and what to write instead.
type WhoError struct {
	Entry   string    // as written; empty if there was none
	Problem string    // without the entry in it
	Try     [2]string // entries to write instead
}

// Error ends in two lines to try, written for the gatehouse directive.
func (e *WhoError) Error() string { return e.For("gatehouse") }

// For is Error with the lines to try written for another directive, such as
// deny or group staff.
func (e *WhoError) For(directive string) string {
	entry := ""
	if e.Entry != "" {
		entry = fmt.Sprintf("%q: ", e.Entry)
	}
	return fmt.Sprintf("%s%s; write for example\n    %s %s\n    %[3]s %[5]s",
		entry, e.Problem, directive, e.Try[0], e.Try[1])
}

// ParseWhoList reads the arguments of a directive. None at all is an error: a
// gate without people is always a mistake.
func ParseWhoList(args []string) ([]Who, error) {
	if len(args) == 0 {
		return nil, &WhoError{
			Problem: "nobody is named (a lone * or /path is read as a matcher)",
			Try:     [2]string{"*@example.com", "any"},
		}
	}
	list := make([]Who, 0, len(args))
	for _, arg := range args {
		who, err := ParseWho(arg)
		if err != nil {
			return nil, err
		}
		list = append(list, who)
	}
	return list, nil
}

// ParseWho reads one entry: alice@example.com, *@example.com (this domain
// exactly, nothing below it), a group's name, file:/path or any. The error is
// a *WhoError. Whether the group exists is found out by Compile.
func ParseWho(s string) (Who, error) {
	if who, ok := readWho(s); ok {
		return who, nil
	}
	return Who{}, notWho(s)
}

func readWho(s string) (Who, bool) {
	if s == "any" {
		return Who{kind: whoAny}, true
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		return Who{whoFile, path}, path != ""
	}
	if domain, ok := strings.CutPrefix(s, "*@"); ok {
		a, err := address.Parse("x@" + domain)
		return Who{whoDomain, a.Domain()}, err == nil
	}
	if IsGroupName(s) {
		return Who{whoGroup, s}, true
	}
	a, err := address.Parse(s)
	return Who{whoAddress, a.String()}, err == nil
}

// IsHome reports whether those at network may pass without a sign-in: it is no large
// part of the internet.
func IsHome(network netip.Prefix) bool {
	if network.Addr().Is4() {
		return network.Bits() >= 8
	}
	return network.Bits() >= 16
}

// IsGroupName reports whether s is letters, digits, - and _, at least one.
func IsGroupName(s string) bool {
	for i := range len(s) {
		if !ascii.IsLetterOrDigit(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return s != "" && s != "any"
}

// notWho guesses what was meant.
func notWho(s string) *WhoError {
	bare := strings.Trim(s, "@*.")
	fail := func(problem, one, other string) *WhoError {
		return &WhoError{s, problem, [2]string{usable(one, "*@example.com"), usable(other, "alice@example.com")}}
	}
	switch {
	case s != "" && bare == "":
		return &WhoError{s, "this names nobody in particular", [2]string{"*@example.com", "any"}}
	case s == "file:":
		return &WhoError{s, "the path of the list is missing", [2]string{"file:/etc/gatehouse/people.txt", "*@example.com"}}
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./"):
		return fail("a list in a file is written with file: in front", "file:"+s, "")
	case strings.HasPrefix(s, "@") && strings.Contains(s, "."):
		return fail("a domain is written with a star in front of the @", "*@"+bare, "alice@"+bare)
	case strings.HasPrefix(s, "@"):
		return fail("a group is written without the @ and a domain with a star in front of it", bare, "*@example.com")
	case strings.HasSuffix(s, "@"):
		return fail("the domain is missing after the @; a group is written without it", bare+"@example.com", bare)
	case strings.HasPrefix(s, "*@") || strings.HasPrefix(s, "*."):
		return fail("a star stands for all people of one exact domain, not for domains below it", "*@"+bare, "*@sub."+bare)
	case strings.Contains(s, ","):
		one, other, _ := strings.Cut(s, ",")
		return fail("two entries are written apart, without a comma", one, other)
	case strings.Contains(s, "@"):
		_, err := address.Parse(s)
		return fail(err.Error(), "", "")
	case strings.Contains(s, "."):
		return fail("a domain is written with *@ in front", "*@"+s, "alice@"+s)
	}
	return fail("this is neither an address, nor *@ and a domain, nor a group's name (letters, digits, - and _), nor file: and a path, nor any", "", "")
}

// usable returns entry, or instead if entry would be wrong again.
func usable(entry, instead string) string {
	if _, ok := readWho(entry); ok {
		return entry
	}
	return instead
}
