package origin

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// RedirectUse is what a registered redirect URL is for.
type RedirectUse string

// The uses of redirect URLs.
const (
	RedirectLogin        RedirectUse = "login"
	RedirectRegistration RedirectUse = "registration"
	RedirectInvite       RedirectUse = "invite"
	// RedirectCallback is not a use of registered URLs: the patterns of
	// Callbacks decide.
	RedirectCallback RedirectUse = "callback"
)

// Redirects are registered URLs by use. A host may begin with *. for exactly
// one label; the path must be the same, character by character. The zero value
// allows nothing.
type Redirects struct {
	byUse map[RedirectUse][]registered
}

type registered struct {
	text   string
	target target // host without the *. of a wildcard
	wild   bool
}

// Add registers rawURL for use. The first one without a wildcard is the default
// of its use.
func (r *Redirects) Add(use RedirectUse, rawURL string) error {
	if !slices.Contains([]RedirectUse{RedirectLogin, RedirectRegistration, RedirectInvite}, use) {
		return fmt.Errorf("redirect %s: a redirect is for login, registration or invite", use)
	}
	plain, wild := rawURL, false
	if scheme, rest, ok := cutScheme(rawURL); ok {
		if host, found := strings.CutPrefix(rest, "*."); found {
			plain, wild = scheme+"://"+host, true
		}
	}
	t, ok := parseTarget(plain)
	if !ok || strings.Contains(plain, "*") {
		return fmt.Errorf("redirect %s %q: %w", use, rawURL, errors.New("write an absolute URL as in https://app.example.com/authenticate; only the first label of its host may be *"))
	}
	if wild && !strings.Contains(t.host, ".") {
		return fmt.Errorf("redirect %s %q: after *. there must be a domain of your own, as in https://*.example.com/authenticate", use, rawURL)
	}
	if r.byUse == nil {
		r.byUse = map[RedirectUse][]registered{}
	}
	r.byUse[use] = append(r.byUse[use], registered{rawURL, t, wild})
	return nil
}

// Allows tells whether rawURL is registered for use.
func (r Redirects) Allows(use RedirectUse, rawURL string) bool {
	t, ok := parseTarget(rawURL)
	if !ok {
		return false
	}
	for _, one := range r.byUse[use] {
		if one.matches(t) {
			return true
		}
	}
	return false
}

// Fixed tells whether rawURL is registered for use as it stands: neither a wildcard
// nor the query is left to whoever names it.
func (r Redirects) Fixed(use RedirectUse, rawURL string) bool {
	t, ok := parseTarget(rawURL)
	return ok && slices.ContainsFunc(r.byUse[use], func(one registered) bool { return !one.wild && one.target == t })
}

// Default returns the default URL of use, or "".
func (r Redirects) Default(use RedirectUse) string {
	for _, one := range r.byUse[use] {
		if !one.wild {
			return one.text
		}
	}
	return ""
}

func (one registered) matches(t target) bool {
	want := one.target
	if want.scheme != t.scheme || want.port != t.port || want.path != t.path {
		return false
	}
	if want.query != "" && want.query != t.query {
		return false
	}
	if !one.wild {
		return t.host == want.host
	}
	label, domain, found := strings.Cut(t.host, ".")
	return found && label != "" && domain == want.host
}

// WithQuery returns rawURL, which MayRedirect has allowed, with name=value at the
// end of its query, in place of any other value of that name: apps take the first
// they find. value must be unreserved characters or encoded already.
func WithQuery(rawURL, name, value string) string {
	base, query, _ := strings.Cut(rawURL, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || readName(pair) == readName(name)
	})
	return base + "?" + strings.Join(append(pairs, name+"="+value), "&")
}

// readName is the name in a pair of a query as any framework reads it: PHP takes
// .token and token[] for others than Go does, and some know no case.
func readName(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(name)
	if err != nil { // parseTarget refuses it
		return ""
	}
	name, _, _ = strings.Cut(strings.TrimSpace(name), "[")
	name, _, _ = strings.Cut(name, "\x00")
	return strings.NewReplacer(".", "_", " ", "_").Replace(ascii.Lower(name))
}
