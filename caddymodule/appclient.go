package caddymodule

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// AppClient is a client of the JSON APIs, of the OpenID provider, or of both.
type AppClient struct {
	// ID names the app in paths: letters, digits, - and _.
	ID string `json:"id,omitempty"`
	// Name is what mails and text messages call the app. Default: ID.
	Name string `json:"name,omitempty"`
	// APIKeys are secret keys: sk_live_ or sk_test_ and at least 32 letters or
	// digits. Test keys see test data only. Several are for rotation. Takes
	// {env.NAME} and {file./path}; a file may have several, one a line.
	APIKeys []string `json:"api_keys,omitempty"`
	// PublishableKeys may stand in a browser: pk_live_ or pk_test_. Same form.
	PublishableKeys []string `json:"publishable_keys,omitempty"`
	// Callbacks are patterns of URLs where a link may lead in the end; * stands
	// for any characters. http://localhost is always allowed.
	Callbacks []string `json:"callbacks,omitempty"`
	// DevCallback is where links lead for calls that say they are made by a
	// developer.
	DevCallback string `json:"dev_callback,omitempty"`
	// Redirects are URLs that mails may link to, by use: login, registration,
	// invite. The first of a use is its default.
	Redirects map[string][]string `json:"redirects,omitempty"`
	// VerificationURL is where links in mails point. Default: at the API.
	VerificationURL string `json:"verification_url,omitempty"`
	// LinkLifetime and SessionLifetime replace the dialect's defaults. No session
	// of the app lives longer than SessionLifetime, whatever a call asks for.
	LinkLifetime    caddy.Duration `json:"link_lifetime,omitempty"`
	SessionLifetime caddy.Duration `json:"session_lifetime,omitempty"`
	// AutoCreate makes a customer of an unknown address. Of who signs in through
	// the provider and whom allow does not name otherwise than by any, it asks
	// whether they want to sign up, once they have proved the address. Default:
	// false.
	AutoCreate bool `json:"auto_create,omitempty"`
	// AutoVerify lets calls ask for links that lead to a page of ours, where two
	// digits that are shown where the sign-in began are typed, and that sign in
	// there. Default: false.
	AutoVerify bool `json:"auto_verify,omitempty"`
	// Organizations lets customers have organizations. Default: false.
	Organizations bool `json:"organizations,omitempty"`
	// Profile lets the app read name and city after a sign-in, and the claim name.
	// Default: false.
	Profile bool `json:"profile,omitempty"`
	// Fingerprint lists what must be the same where a link is used as where it
	// was asked for: ip, user_agent. Default: nothing.
	Fingerprint []string `json:"fingerprint,omitempty"`
	// Origins lists the app's own origins, whose pages may call the API with a
	// publishable key.
	Origins []string `json:"origins,omitempty"`
	// Plans are what customers are entitled to. The first is a new customer's.
	Plans []AppPlan `json:"plans,omitempty"`

	// Secrets are what the app shows at the token endpoint of the OpenID provider,
	// of at least 32 bytes. Several are for rotation. Default: none, and the app is
	// a public client, such as a page or a program, that can keep no secret. Takes
	// {env.NAME} and {file./path}; a file may have several, one a line.
	Secrets []string `json:"secrets,omitempty"`
	// RedirectURIs are where the provider sends people who have signed in, compared
	// byte by byte; only the port of http://127.0.0.1 and http://[::1] is free. With
	// at least one, the app is a client of the provider.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// PostLogoutRedirectURIs are where people may be sent after signing out.
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	// BackchannelLogoutURI is told when the session of somebody ends who has signed
	// in to the app.
	BackchannelLogoutURI string `json:"backchannel_logout_uri,omitempty"`
	// Allow is who may sign in to the app: addresses, *@domain, groups,
	// file:/path or any. Required for a client of the provider.
	Allow []string `json:"allow,omitempty"`
	// InitiateLoginURI is where a sign-in begins at the app. The front page of a
	// portal leads there whom the app admits, with the issuer as iss. Default: it
	// does not show the app.
	InitiateLoginURI string `json:"initiate_login_uri,omitempty"`
	// PKCE is required or, for a client with a secret, optional. Default: required.
	PKCE string `json:"pkce,omitempty"`
	// IDTokenEmail puts the address into ID tokens, for clients that look nowhere
	// else. Default: true.
	IDTokenEmail *bool `json:"id_token_email,omitempty"`
	// IDTokenAlg is what ID tokens are signed with, RS256 or ES256. Default: RS256.
	IDTokenAlg string `json:"id_token_alg,omitempty"`
	// Consent asks people once whether the app may know who they are. Default:
	// false, the app is the operator's own.
	Consent *bool `json:"consent,omitempty"`
	// Subject is public, and everybody has one sub at all apps, or pairwise, and
	// has another at each host. Default: public.
	Subject string `json:"subject,omitempty"`
}

// AppPlan is one plan.
type AppPlan struct {
	ID string `json:"id,omitempty"`
	// Name is what people are told it is called. Default: ID.
	Name string `json:"name,omitempty"`
	// Entitlements are numbers, booleans or lists of text, by feature.
	Entitlements map[string]any `json:"entitlements,omitempty"`
}

// checkApps checks what is written of them.
func (a *App) checkApps() error {
	if _, err := a.apiApps(asWritten); err != nil {
		return err
	}
	for _, c := range a.Apps {
		if _, err := c.client(asWritten); err != nil {
			return fmt.Errorf("app %s: %w", c.ID, err)
		}
	}
	return nil
}

// apiApps is the apps in the words of authcore; expand puts in what
// placeholders stand for.
func (a *App) apiApps(expand func(option, value string) (string, error)) (*apps.List, error) {
	var list []*apps.App
	for _, c := range a.Apps {
		app, err := c.app(expand)
		if err != nil {
			return nil, fmt.Errorf("app %s: %w", c.ID, err)
		}
		list = append(list, app)
	}
	return apps.NewList(list...)
}

func (c *AppClient) app(expand func(option, value string) (string, error)) (*apps.App, error) {
	app := &apps.App{
		ID: c.ID, Name: c.Name, LinkLifetime: time.Duration(c.LinkLifetime), SessionLifetime: time.Duration(c.SessionLifetime),
		AutoCreate: c.AutoCreate, AutoVerify: c.AutoVerify, Organizations: c.Organizations, Profile: c.Profile,
	}
	for _, read := range []func(*apps.App) error{c.checkName, c.readURLs, c.readFingerprint, c.readPlans, c.checkLifetimes} {
		if err := read(app); err != nil {
			return nil, err
		}
	}
	var err error
	if app.Origins, err = parseOrigins(c.Origins); err != nil {
		return nil, err
	}
	app.Keys, err = c.keys(expand)
	return app, err
}

func (c *AppClient) keys(expand func(option, value string) (string, error)) ([]apps.Key, error) {
	var keys []apps.Key
	for _, list := range []struct {
		option      string
		values      []string
		publishable bool
	}{{"api_key", c.APIKeys, false}, {"publishable_key", c.PublishableKeys, true}} {
		for _, text := range list.values {
			value, err := expand(list.option, text)
			if err != nil {
				return nil, err
			}
			if option.IsPlaceholder(value) {
				continue // known on the machine only
			}
			some, err := readKeys(value, list.publishable)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list.option, err)
			}
			keys = append(keys, some...)
		}
	}
	return keys, nil
}

// readKeys reads what a placeholder stands for: a file may have several keys,
// one a line, so that one can be added for rotation without a new file.
func readKeys(text string, publishable bool) (keys []apps.Key, err error) {
	lines := strings.Fields(text)
	if len(lines) == 0 {
		lines = []string{""}
	}
	for _, line := range lines {
		key, err := apps.ParseKey(line)
		if err != nil {
			return nil, err
		}
		if key.Publishable != publishable {
			return nil, errors.New("a key that begins with pk_ is a publishable_key, one that begins with sk_ an api_key; this one is the other kind")
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (c *AppClient) readURLs(app *apps.App) (err error) {
	if app.Callbacks, err = origin.ParseCallbacks(c.Callbacks); err != nil {
		return err
	}
	if c.DevCallback != "" && !app.Callbacks.Allows(c.DevCallback) {
		return fmt.Errorf("dev_callback %q: no callback pattern allows it; write for example\n    callback %s", c.DevCallback, c.DevCallback)
	}
	app.DevCallback = c.DevCallback
	for use, urls := range c.Redirects {
		for _, u := range urls {
			if err := app.Redirects.Add(origin.RedirectUse(use), u); err != nil {
				return err
			}
		}
	}
	if c.VerificationURL != "" {
		r, err := http.NewRequest(http.MethodGet, c.VerificationURL, nil)
		if err != nil || r.URL.Host == "" || r.URL.User != nil || r.URL.Fragment != "" || r.URL.Scheme != "https" && r.URL.Hostname() != "localhost" {
			return fmt.Errorf("verification_url %q is not a URL like https://app.example.com/auth/verify", c.VerificationURL)
		}
	}
	app.VerificationURL = c.VerificationURL
	return nil
}

func (c *AppClient) readFingerprint(app *apps.App) error {
	for _, part := range c.Fingerprint {
		switch part {
		case "ip":
			app.Fingerprint.IP = true
		case "user_agent":
			app.Fingerprint.UserAgent = true
		default:
			return fmt.Errorf("fingerprint %q: there are ip and user_agent", part)
		}
	}
	return nil
}

// The longest that a link or a session of an app may live. Signing keys are
// kept for a month after they have signed.
const (
	maxLinkLifetime       = 7 * 24 * time.Hour
	maxAppSessionLifetime = 30 * 24 * time.Hour
)

func (c *AppClient) checkLifetimes(*apps.App) error {
	if d := time.Duration(c.LinkLifetime); d < 0 || d > maxLinkLifetime {
		return fmt.Errorf("link_lifetime %s: at most 168h", d)
	}
	if d := time.Duration(c.SessionLifetime); d < 0 || d > maxAppSessionLifetime {
		return fmt.Errorf("session_lifetime %s: at most 720h", d)
	}
	return nil
}

func (c *AppClient) readPlans(app *apps.App) error {
	for _, p := range c.Plans {
		if app.Plan(p.ID) != nil {
			return fmt.Errorf("plan %s is there twice; write all its features in one block", p.ID)
		}
		plan := apps.Plan{ID: p.ID, Name: p.Name, Entitlements: map[string]any{}}
		for feature, value := range p.Entitlements {
			entitlement, ok := entitlementOf(value)
			if !ok {
				return fmt.Errorf("plan %s: %s is neither a whole number nor on, off or a list of words", p.ID, feature)
			}
			plan.Entitlements[feature] = entitlement
		}
		app.Plans = append(app.Plans, plan)
	}
	return nil
}

// entitlementOf brings a value from JSON into the form that authcore has.
func entitlementOf(value any) (any, bool) {
	switch v := value.(type) {
	case bool, int64:
		return v, true
	case []string:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case []any:
		list := []string{}
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}
