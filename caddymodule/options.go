package caddymodule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/api/reflex"
	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/rfc5322"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// Store says where state lives.
type Store struct {
	// Badger keeps it in a directory of this machine.
	Badger *BadgerStore `json:"badger,omitempty"`
	// Postgres keeps it in a PostgreSQL database.
	Postgres *PostgresStore `json:"postgres,omitempty"`
}

// BadgerStore is a directory that one process at a time may use.
type BadgerStore struct {
	// Dir is the directory. Placeholders are expanded. Default: gatehouse in
	// Caddy's data directory.
	Dir string `json:"dir,omitempty"`
}

// PostgresStore is a database of Gatehouse's own.
type PostgresStore struct {
	// DSN is its address, such as
	// postgres://gatehouse:{file./run/secrets/db}@db:5432/gatehouse?sslmode=verify-full.
	// {env.*} and {file.*} are expanded; inside of a URL what they stand for is
	// percent-encoded.
	DSN string `json:"dsn,omitempty"`
}

// From is the sender that people see.
type From struct {
	// Name is shown beside the address.
	Name string `json:"name,omitempty"`
	// Address is where the mails come from.
	Address string `json:"address,omitempty"`
}

// Code is the form of codes.
type Code struct {
	// Digits is 6 to 10. Default: 6.
	Digits int `json:"digits,omitempty"`
	// Lifetime is how long a code and its link are good, at most 10 minutes.
	// Default: 10 minutes.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// Attempts is how many wrong answers end a code, at most 10. Default: 5.
	Attempts int `json:"attempts,omitempty"`
}

// Session limits the life of browser sessions.
type Session struct {
	// Idle ends a session that was not used for so long. At least 5 minutes.
	// Default: 24 hours.
	Idle caddy.Duration `json:"idle,omitempty"`
	// Max ends a session so long after the sign-in. At most 30 days. Default:
	// 7 days.
	Max caddy.Duration `json:"max,omitempty"`
}

// Limits bounds sign-ins. A kind that is not given keeps its default.
type Limits struct {
	// PerRecipient limits starts and mails for one address. Default: 1 a
	// minute, 5 an hour, 10 a day.
	PerRecipient []Rate `json:"per_recipient,omitempty"`
	// PerClient limits starts from one client: an IPv4 address or an IPv6 /64.
	// Default: 300 in 10 minutes.
	PerClient []Rate `json:"per_client,omitempty"`
	// Global limits mails in all. Default: 600 a minute.
	Global []Rate `json:"global,omitempty"`
	// Failures limits wrong codes for one address. When they are used up, only
	// the link in the mail works. Default: 10 a day, 30 in 30 days.
	Failures []Rate `json:"failures,omitempty"`
}

// Rate allows Count events in any span of length Per.
type Rate struct {
	Count int            `json:"count"`
	Per   caddy.Duration `json:"per"`
}

const day = 24 * time.Hour

// The bounds of what may be configured: shorter codes and longer lives are
// what guessing and stolen cookies thrive on, and a session that is idle after
// less than 5 minutes would end while people read.
const (
	maxCodeLifetime = 10 * time.Minute
	maxCodeAttempts = 10
	maxSessionLife  = 30 * day
	minSessionIdle  = 5 * time.Minute
)

// check finds what is wrong with the options, as far as it can be found
// without the machine.
func (a *App) check() error {
	for _, check := range []func() error{a.checkText, a.checkMail} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkText checks what is written; what is missing is left to checkMail,
// because a part of the configuration may follow.
func (a *App) checkText() error {
	checks := []func() error{
		a.checkStore, a.checkSecrets, a.checkFrom, a.checkDomain, a.checkCookie, a.checkCode,
		a.checkSession, a.checkLimits, a.checkGroups, a.checkTokens, a.checkAudit, a.checkApps, a.checkClients, a.checkHooks,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkFrom also puts the address into the form that a mail can be built with:
// that of an international domain is its A-label.
func (a *App) checkFrom() error {
	if a.From == nil {
		return nil
	}
	if err := rfc5322.CheckPhrase("name", a.From.Name); err != nil || len(a.From.Name) > 100 {
		return errors.New("from: the name is one line of at most 100 bytes")
	}
	parsed, err := address.Parse(a.From.Address)
	if err != nil {
		return fmt.Errorf("from: %q: %w; write for example\n    from \"Example sign-in\" <login@example.com>", a.From.Address, err)
	}
	a.From.Address = parsed.String()
	return nil
}

// checkCookie also has the gates know the name.
func (a *App) checkCookie() (err error) {
	if a.house.Cookies, err = pages.CookiesNamed(a.Cookie); err != nil {
		return fmt.Errorf("%w; write for example\n    cookie gatehouse-intern", err)
	}
	if a.Cookie == reflex.CookieName {
		return fmt.Errorf("cookie %q: so is the session called that the JSON APIs give to browsers; write for example\n    cookie gatehouse-intern", a.Cookie)
	}
	return nil
}

// checkDomain refuses what browsers set no cookie for, or what would share
// sessions with strangers.
func (a *App) checkDomain() error {
	if a.Domain == "" {
		return nil
	}
	const try = "write the domain that your hosts have in common, such as\n    domain example.com"
	if name := strings.Trim(a.Domain, "."); strings.EqualFold(name, "localhost") {
		return fmt.Errorf("domain %q: browsers keep no cookie for all of localhost; name your sites below a name of it, such as http://wiki.example.localhost:8080, and write\n    domain example.localhost", a.Domain)
	}
	o, err := origin.Parse("https://" + a.Domain)
	if err != nil || o.Host() != strings.ToLower(a.Domain) && isASCII(a.Domain) || isNumeric(o.Host()) || !strings.Contains(o.Host(), ".") {
		return fmt.Errorf("domain %q: this is not a domain's name; %s", a.Domain, try)
	}
	if suffix, _ := publicsuffix.PublicSuffix(o.Host()); suffix == o.Host() {
		return fmt.Errorf("domain %q: under this suffix anybody can register names, and all would share your sessions; %s", a.Domain, try)
	}
	a.Domain = o.Host()
	return nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// isNumeric tells IP addresses from names: no top level domain is a number.
func isNumeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return strings.Trim(last, "0123456789") == "" || strings.ContainsAny(host, ":[")
}

func (a *App) checkCode() error {
	rule := a.codeRule()
	const try = "write for example\n    code 6 10m 5"
	switch {
	case rule.Digits < 6:
		return fmt.Errorf("code: %s can be guessed; write at least 6, as in\n    code 6 10m 5", operate.Count(rule.Digits, "digit", "digits"))
	case rule.Digits > 10:
		return fmt.Errorf("code: %d digits are more than people can carry over; write at most 10, as in\n    code 8 10m 5", rule.Digits)
	case rule.Lifetime < time.Second || rule.Lifetime > maxCodeLifetime:
		return fmt.Errorf("code: a lifetime of %s is not between a second and 10 minutes; %s", rule.Lifetime, try)
	case rule.Attempts < 1 || rule.Attempts > maxCodeAttempts:
		return fmt.Errorf("code: %d attempts are not between 1 and 10; %s", rule.Attempts, try)
	}
	return nil
}

func (a *App) codeRule() authcore.CodeRule {
	rule := authcore.DefaultCode
	if a.Code == nil {
		return rule
	}
	if a.Code.Digits != 0 {
		rule.Digits = a.Code.Digits
	}
	if a.Code.Lifetime != 0 {
		rule.Lifetime = time.Duration(a.Code.Lifetime)
	}
	if a.Code.Attempts != 0 {
		rule.Attempts = a.Code.Attempts
	}
	return rule
}

func (a *App) checkSession() error {
	rule := a.sessionRule()
	const try = "write for example\n    session idle 24h max 7d"
	switch {
	case rule.Idle < minSessionIdle:
		return fmt.Errorf("session: idle %s is under 5 minutes, in which people read a page; %s", rule.Idle, try)
	case rule.Max > maxSessionLife:
		return fmt.Errorf("session: max %s is over 30 days; %s", days(rule.Max), try)
	case rule.Max < rule.Idle:
		return fmt.Errorf("session: idle %s is longer than max %s; %s", days(rule.Idle), days(rule.Max), try)
	}
	return nil
}

// sessionRule returns the limits in force. Where only max is given, it also
// limits what idle is by default.
func (a *App) sessionRule() session.Rule {
	rule := session.DefaultRule
	if a.Session == nil {
		return rule
	}
	if a.Session.Max != 0 {
		rule.Max = time.Duration(a.Session.Max)
		rule.Idle = min(rule.Idle, rule.Max)
	}
	if a.Session.Idle != 0 {
		rule.Idle = time.Duration(a.Session.Idle)
	}
	return rule
}

// days writes a duration as a Caddyfile has it.
func days(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func (a *App) checkLimits() error {
	l := a.limits()
	kinds := []struct {
		name  string
		rates []limit.Rate
	}{
		{"per_recipient", l.PerRecipient}, {"per_client", l.PerClient},
		{"global", l.Global}, {"failures", l.Failures},
	}
	for _, kind := range kinds {
		for _, rate := range kind.rates {
			if rate.Count < 1 || rate.Per < time.Second {
				return fmt.Errorf("limits: %s %d %s: write a number of at least 1 and a time of at least a second, for example\n    %s 10 24h", kind.name, rate.Count, rate.Per, kind.name)
			}
		}
	}
	return nil
}

func (a *App) limits() limit.Limits {
	l := limit.Default()
	if a.Limits == nil {
		return l
	}
	set(&l.PerRecipient, a.Limits.PerRecipient)
	set(&l.PerClient, a.Limits.PerClient)
	set(&l.Global, a.Limits.Global)
	set(&l.Failures, a.Limits.Failures)
	return l
}

// set replaces the default rates of one kind by those that are written.
func set(rates *[]limit.Rate, written []Rate) {
	if len(written) == 0 {
		return
	}
	*rates = nil
	for _, rate := range written {
		*rates = append(*rates, limit.Rate{Count: rate.Count, Per: time.Duration(rate.Per)})
	}
}
