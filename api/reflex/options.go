package reflex

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
)

// Options change what the dialect does. The zero value of a field means its
// default.
type Options struct {
	Route           string        // of the page; default /magic-link-auth
	Lifetime        time.Duration // of passwords, and the span of the limit; default 30 min
	SessionLifetime time.Duration // default 7 days
	RateLimit       int           // passwords within Lifetime; default 5
}

// The defaults of the original.
const (
	defaultRoute           = "/magic-link-auth"
	defaultLifetime        = 30 * time.Minute
	defaultSessionLifetime = 7 * 24 * time.Hour
	defaultRateLimit       = 5
)

// maxSeconds bounds lifetimes: a year.
const maxSeconds = 366 * 24 * 60 * 60

// OptionsFromEnv reads the variables that set up the original:
//
//	MAGIC_LINK_AUTH_ROUTE                       begins with /
//	MAGIC_LINK_AUTH_OTP_EXPIRATION_SECONDS      more than 0, may have a fraction
//	MAGIC_LINK_AUTH_SESSION_EXPIRATION_SECONDS  the same
//	MAGIC_LINK_AUTH_OTP_RATE_LIMIT              a whole number from 1
//
// A blank one means the default; one that can't be used is an error.
func OptionsFromEnv(getenv func(string) string) (Options, error) {
	var o Options
	var err error
	if route := strings.TrimSpace(getenv("MAGIC_LINK_AUTH_ROUTE")); route != "" {
		if o.Route = route; !isRoute(route) {
			return o, fmt.Errorf("MAGIC_LINK_AUTH_ROUTE: %q is not a path that begins with / and has only letters, digits, -, _ and /, outside of /_gatehouse/ and /reflex/", route)
		}
	}
	if o.Lifetime, err = seconds(getenv, "MAGIC_LINK_AUTH_OTP_EXPIRATION_SECONDS"); err != nil {
		return o, err
	}
	if o.SessionLifetime, err = seconds(getenv, "MAGIC_LINK_AUTH_SESSION_EXPIRATION_SECONDS"); err != nil {
		return o, err
	}
	if text := strings.TrimSpace(getenv("MAGIC_LINK_AUTH_OTP_RATE_LIMIT")); text != "" {
		if o.RateLimit, err = strconv.Atoi(text); err != nil || o.RateLimit < 1 {
			return o, fmt.Errorf("MAGIC_LINK_AUTH_OTP_RATE_LIMIT: %q is not a whole number from 1", text)
		}
	}
	return o, nil
}

func isRoute(route string) bool {
	if !strings.HasPrefix(route, "/") || route == "/" || strings.Contains(route, "//") ||
		strings.HasPrefix(route, "/_gatehouse") || strings.HasPrefix(route+"/", "/reflex/") {
		return false
	}
	return !strings.ContainsFunc(route, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_/", r)
	})
}

func seconds(getenv func(string) string, name string) (time.Duration, error) {
	text := strings.TrimSpace(getenv(name))
	if text == "" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	d, ok := lifetime(f)
	if err != nil || !ok {
		return 0, fmt.Errorf("%s: %q is not a number of seconds above 0 and up to %d", name, text, maxSeconds)
	}
	return d, nil
}

// lifetime makes a duration of seconds; ok is false when that is none.
func lifetime(f float64) (time.Duration, bool) {
	if math.IsNaN(f) || f <= 0 || f > maxSeconds {
		return 0, false
	}
	return max(time.Duration(f*float64(time.Second)), time.Millisecond), true
}

func (o Options) withDefaults() Options {
	if o.Route == "" {
		o.Route = defaultRoute
	}
	if o.Lifetime == 0 {
		o.Lifetime = defaultLifetime
	}
	if o.SessionLifetime == 0 {
		o.SessionLifetime = defaultSessionLifetime
	}
	if o.RateLimit == 0 {
		o.RateLimit = defaultRateLimit
	}
	o.RateLimit = min(o.RateLimit, apps.MaxWindow)
	return o
}
