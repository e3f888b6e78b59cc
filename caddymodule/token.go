package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// Token is a machine client: a program that passes gates with a secret, in the
// place of a person.
type Token struct {
	// Name says who it is: the app sees token:<name>.
	Name string `json:"name,omitempty"`
	// Secret is what the program sends, at least 32 bytes. Takes {env.NAME} and
	// {file./path}.
	Secret string `json:"secret,omitempty"`
	// OldSecrets are those of before, which programs that were not told the new one
	// yet go on with. Same form as Secret.
	OldSecrets []string `json:"old_secrets,omitempty"`
	// Sites lists where it is good: host names, with *. in front for all names
	// one label below. At least one.
	Sites []string `json:"sites,omitempty"`
	// Paths limits it to these paths: exact, or a prefix ending in /*. Default:
	// all.
	Paths []string `json:"paths,omitempty"`
	// Methods limits it to these methods. Default: all.
	Methods []string `json:"methods,omitempty"`
	// Until is its last day, as 2027-06-30, or a moment as in RFC 3339. Default:
	// as long as it is configured.
	Until string `json:"until,omitempty"`
}

// scope is the token without its secret.
func (t *Token) scope() (m session.ConfiguredMachine, err error) {
	m.Machine = session.Machine{Name: t.Name, Methods: t.Methods}
	for _, site := range t.Sites {
		pattern, err := origin.ParseSitePattern(site)
		if err != nil {
			return m, fmt.Errorf("token %s: %w", t.Name, err)
		}
		m.Sites = append(m.Sites, pattern)
	}
	if m.Until, err = parseUntil(t.Until); err != nil {
		return m, fmt.Errorf("token %s: until %q: %w", t.Name, t.Until, err)
	}
	if t.Secret == "" {
		return m, fmt.Errorf("token %s has no secret; write for example\n    secret {file./run/secrets/%[1]s}", t.Name)
	}
	for _, secret := range append([]string{t.Secret}, t.OldSecrets...) {
		if !option.IsPlaceholder(secret) && len(secret) < session.MinMachineSecret {
			return m, shortSecret(t.Name, secret)
		}
	}
	if err := m.Check(); err != nil {
		return m, err
	}
	if m.Paths, err = origin.ParsePublicPaths(t.Paths); err != nil {
		return m, fmt.Errorf("token %s: %w", t.Name, err)
	}
	return m, nil
}

func shortSecret(name, secret string) error {
	return fmt.Errorf("token %s: a secret needs at least %d bytes, this one has %d; make one with: openssl rand -hex 32", name, session.MinMachineSecret, len(secret))
}

func parseUntil(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		return day, errors.New("this is not a day; write for example\n    until 2027-06-30")
	}
	return day.AddDate(0, 0, 1), nil // through the end of that day
}

// checkTokens checks what is written of them.
func (a *App) checkTokens() error {
	var names []string
	for _, t := range a.Tokens {
		if _, err := t.scope(); err != nil {
			return err
		}
		if slices.Contains(names, t.Name) {
			return fmt.Errorf("token %s is written twice: keep one of the two", t.Name)
		}
		names = append(names, t.Name)
	}
	return nil
}

// warnOfIdleTokens tells of sites of tokens where no gate asks for one, such as
// a misspelt one.
func (a *App) warnOfIdleTokens() {
	for _, t := range a.Tokens {
		scope, _ := t.scope() // checked before
		for _, p := range scope.Sites {
			if !a.gateUnder(p) {
				a.log.Warn(fmt.Sprintf("token %s: no gate stands at %s, so the token opens nothing there: write site as the address of a site with a gate has it", t.Name, p))
			}
		}
	}
}

// gateUnder tells whether a gate stands where p says.
func (a *App) gateUnder(p origin.SitePattern) bool {
	for _, g := range a.allGates() {
		if slices.ContainsFunc(g.guard.Place.Addresses(), p.Covers) {
			return true
		}
	}
	return !p.Exact() || a.protects(p.Origin("https")) || a.protects(p.Origin("http"))
}

// hash is that of one of the token's secrets.
func (t *Token) hash(secret string) (session.MachineHash, error) {
	secret, err := option.ExpandSecret("token "+t.Name+": secret", secret)
	if err == nil && len(secret) < session.MinMachineSecret {
		err = shortSecret(t.Name, secret)
	}
	return session.HashMachine(secret), err
}

// machines resolves the secrets of the tokens.
func (a *App) machines() (all []session.ConfiguredMachine, err error) {
	for _, t := range a.Tokens {
		m, err := t.scope()
		if err != nil {
			return nil, err
		}
		if m.Hash, err = t.hash(t.Secret); err != nil {
			return nil, err
		}
		for _, old := range t.OldSecrets {
			hash, err := t.hash(old)
			if err != nil {
				return nil, err
			}
			m.Old = append(m.Old, hash)
		}
		all = append(all, m)
	}
	return all, session.CheckMachines(all)
}
