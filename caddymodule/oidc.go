package caddymodule

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/caddymodule/gate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/oidc"
	"github.com/gatehouse-auth/gatehouse/pages"
)

// placeClients: people sign in to apps at the host of a portal.
func (a *App) placeClients() error {
	for _, c := range a.Apps {
		if len(c.RedirectURIs) > 0 && len(a.portals) == 0 {
			return fmt.Errorf("app %s signs people in with redirect_uri, and there is no gatehouse_portal where they could; write\n    auth.example.com {\n        gatehouse_portal\n    }", c.ID)
		}
	}
	return nil
}

// clientsLeadAway refuses URIs of clients that the portal answers itself: a code
// would stand there in its address.
func (a *App) clientsLeadAway() error {
	for _, c := range a.Apps {
		for _, list := range c.redirects() {
			for _, text := range list.uris {
				u, err := url.Parse(text)
				if err != nil {
					continue
				}
				// Servers take away // on the way.
				if at := path.Clean("/" + strings.ReplaceAll(u.Path, `\`, "/")); !oidc.Knows(at) && !gate.IsOwnPath(at) {
					continue
				}
				if o, err := origin.Parse(u.Scheme + "://" + u.Host); err == nil && a.isPortalPlace(o) {
					return fmt.Errorf("app %s: %s %q is a page of the portal; write the app's own address, for example\n    %s https://wiki.example.com/callback", c.ID, list.option, text, list.option)
				}
			}
		}
	}
	return nil
}

// newProvider makes the OpenID provider of this configuration, nil where no app
// signs people in.
func (a *App) newProvider(service *authcore.Service, shown *pages.Pages) *oidc.Handler {
	if len(a.clients) == 0 {
		return nil
	}
	h := oidc.New(oidc.Config{Service: service, Pages: shown, Log: a.ctx.Slogger(), Agent: "Gatehouse"})
	release := service.Core().Grants().Use(&grant.Means{Clients: a.clients, Notify: h.Notify})
	a.releases = append(a.releases, func() { release(); h.Close() })
	return h
}

// oidcClients are the clients of the provider in its words, with their policies by
// these groups.
func (a *App) oidcClients(groups *policy.Groups, expand func(option, value string) (string, error)) (list []*grant.Client, err error) {
	for _, app := range a.Apps {
		c, err := app.client(expand)
		if err == nil && c != nil {
			c.Policy, err = admitting(app.Allow, groups)
			if named := slices.DeleteFunc(slices.Clone(app.Allow), func(who string) bool { return who == "any" }); err == nil && len(named) > 0 {
				c.Named, err = admitting(named, groups)
			}
			list = append(list, c)
		}
		if err != nil {
			return nil, fmt.Errorf("app %s: %w", app.ID, err)
		}
	}
	return list, nil
}

func admitting(who []string, groups *policy.Groups) (*policy.Policy, error) {
	list, err := parseWho("allow", who)
	if err != nil {
		return nil, err
	}
	p, err := policy.Compile(list, nil, groups)
	return p, forDirective("allow", err)
}

// checkClients checks what can be told once all groups are known.
func (a *App) checkClients() error {
	named, err := a.parseGroups()
	if err != nil {
		return err
	}
	groups, err := newGroups(named, policy.NewLists(nil))
	if err != nil {
		return err
	}
	_, err = a.oidcClients(groups, asWritten)
	return err
}

// asWritten leaves placeholders, which only the machine knows.
func asWritten(_, value string) (string, error) { return value, nil }

// client is the app as a client of the provider, without its policy; nil if it is
// none.
func (c *AppClient) client(expand func(option, value string) (string, error)) (*grant.Client, error) {
	if len(c.RedirectURIs) == 0 {
		return nil, c.checkNoClient()
	}
	out := &grant.Client{
		ID: c.ID, Name: cmp.Or(c.Name, c.ID), Redirects: c.RedirectURIs, AfterLogout: c.PostLogoutRedirectURIs, Backchannel: c.BackchannelLogoutURI,
		EmailInIDToken: c.IDTokenEmail == nil || *c.IDTokenEmail, Consent: c.Consent != nil && *c.Consent, SignUp: c.AutoCreate, Profile: c.Profile,
	}
	if err := c.clientSecrets(out, expand); err != nil {
		return nil, err
	}
	for _, check := range []func(*grant.Client) error{c.checkAllow, c.checkURIs, c.checkBackchannel, c.checkInitiateLogin, c.checkPKCE, c.checkSubject, c.checkAlg} {
		if err := check(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkNoClient refuses what is written for a client in an app that is none.
func (c *AppClient) checkNoClient() error {
	for _, line := range []struct {
		option  string
		written bool
	}{
		{"secret", len(c.Secrets) > 0}, {"post_logout_redirect_uri", len(c.PostLogoutRedirectURIs) > 0}, {"backchannel_logout_uri", c.BackchannelLogoutURI != ""},
		{"initiate_login_uri", c.InitiateLoginURI != ""},
		{"allow", len(c.Allow) > 0}, {"pkce", c.PKCE != ""}, {"id_token_email", c.IDTokenEmail != nil}, {"id_token_alg", c.IDTokenAlg != ""},
		{"consent", c.Consent != nil}, {"subject", c.Subject != ""},
	} {
		if line.written {
			return fmt.Errorf("%s is for an app that people sign in to with OpenID Connect, and that needs a redirect_uri; write for example\n    redirect_uri https://wiki.example.com/callback", line.option)
		}
	}
	return nil
}

// minClientSecret is the least length of a client's secret in bytes.
const minClientSecret = 32

func (c *AppClient) clientSecrets(out *grant.Client, expand func(option, value string) (string, error)) error {
	for _, text := range c.Secrets {
		value, err := expand("secret", text)
		if err != nil {
			return err
		}
		if option.IsPlaceholder(value) {
			out.Secrets = append(out.Secrets, [sha256.Size]byte{}) // known on the machine only
			continue
		}
		lines := strings.Fields(value)
		if len(lines) == 0 {
			return errors.New("secret: it is empty; make one with: openssl rand -hex 32")
		}
		for _, line := range lines {
			if len(line) < minClientSecret {
				return fmt.Errorf("secret: it has %d bytes and needs at least %d; make one with: openssl rand -hex 32", len(line), minClientSecret)
			}
			out.Secrets = append(out.Secrets, sha256.Sum256([]byte(line)))
		}
	}
	return nil
}

func (c *AppClient) checkAllow(*grant.Client) error {
	_, err := parseWho("allow", c.Allow)
	return err
}

// redirects are the URIs that browsers may be sent to, by option.
func (c *AppClient) redirects() []redirectList {
	return []redirectList{{"redirect_uri", c.RedirectURIs}, {"post_logout_redirect_uri", c.PostLogoutRedirectURIs}}
}

type redirectList struct {
	option string
	uris   []string
}

// checkURIs checks where browsers may be sent.
func (c *AppClient) checkURIs(out *grant.Client) error {
	for _, list := range c.redirects() {
		for _, text := range list.uris {
			if why := wrongRedirect(text, out.IsPublic()); why != "" {
				if u, err := url.Parse(text); err == nil && u.User != nil {
					text, why = u.Redacted(), "it must have no user name"
				}
				return fmt.Errorf("%s %q: %s; write for example\n    %s https://wiki.example.com/callback", list.option, text, why, list.option)
			}
		}
	}
	return nil
}

// wrongRedirect says what is wrong with a URI that browsers are to be sent to;
// empty for nothing.
func wrongRedirect(text string, public bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme == "" || u.User != nil || strings.ContainsAny(text, " \"<>\\^`{|}"):
		return "this is not an absolute URI"
	case strings.Contains(text, "*"):
		return "it is compared byte by byte, so it can have no *"
	case strings.Contains(text, "#"):
		return "it must have no fragment"
	case origin.HasDots(cmp.Or(u.EscapedPath(), u.Opaque)):
		return "its path has segments of dots, which browsers resolve"
	case answersIn(u.RawQuery) != "":
		return "its query has " + answersIn(u.RawQuery) + ", which the answer brings"
	case u.Scheme == "https" && u.Host != "":
		return ""
	case u.Scheme == "http" && u.Host != "":
		if !isThisMachine(u.Hostname()) {
			return "a code sent over plain http can be read on the way, so http is for localhost and loopback addresses alone"
		}
		return ""
	case strings.Contains(u.Scheme, ".") && u.Host == "" && public:
		return ""
	case strings.Contains(u.Scheme, "."):
		return "a scheme of a program's own is for an app without a secret, since a program can keep none"
	}
	return "it begins with https://, or for a program with a scheme of a domain of your own, such as com.example.app:/callback"
}

// answersIn names a parameter of a query that stands in answers; empty for none. An
// app that reads the first of two would take its own for ours.
func answersIn(query string) string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "what can't be read"
	}
	for _, name := range []string{"code", "state", "iss", "error", "error_description"} {
		if values.Has(name) {
			return name
		}
	}
	return ""
}

// isThisMachine tells whether a host is the browser's own machine.
func isThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && addr.IsLoopback()
}

// checkBackchannel checks where the app is told of endings. The configuration may
// name loopback and private addresses: nobody else can.
func (c *AppClient) checkBackchannel(*grant.Client) error {
	if c.BackchannelLogoutURI == "" {
		return nil
	}
	u, err := url.Parse(c.BackchannelLogoutURI)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		if u != nil {
			c.BackchannelLogoutURI = u.Redacted()
		}
		return fmt.Errorf("backchannel_logout_uri %q is not a URL without user name and fragment; write for example\n    backchannel_logout_uri https://wiki.example.com/backchannel", c.BackchannelLogoutURI)
	}
	addr, err := netip.ParseAddr(u.Hostname())
	near := isThisMachine(u.Hostname()) || err == nil && addr.IsPrivate() || !strings.Contains(u.Hostname(), ".")
	if u.Scheme == "http" && !near {
		return fmt.Errorf("backchannel_logout_uri %q: plain http is for this machine and private addresses; write https", c.BackchannelLogoutURI)
	}
	return nil
}

// checkInitiateLogin checks where a portal leads people who want to open the app.
func (c *AppClient) checkInitiateLogin(out *grant.Client) error {
	if c.InitiateLoginURI == "" {
		return nil
	}
	u, err := url.Parse(c.InitiateLoginURI)
	var at origin.Origin
	if err == nil {
		// The launcher shows no other place: with the A-label of an international domain.
		if ascii, wrong := idna.Lookup.ToASCII(u.Hostname()); wrong == nil {
			u.Host = strings.Replace(u.Host, u.Hostname(), ascii, 1)
		}
		at, err = origin.New(u.Scheme, u.Host)
	}
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(c.InitiateLoginURI, "#") || u.Query().Has("iss") || u.Scheme != "https" && (u.Scheme != "http" || !isThisMachine(u.Hostname())) {
		if u != nil {
			c.InitiateLoginURI = u.Redacted()
		}
		return fmt.Errorf("initiate_login_uri %q is not an https URL of one host, without user name, fragment and iss, or one of http on localhost; write for example\n    initiate_login_uri https://wiki.example.com/login", c.InitiateLoginURI)
	}
	// Gates are asked about it as about a return address.
	if path := cmp.Or(u.EscapedPath(), "/"); origin.ParseReturnTo(path, at, nil).Path() != path {
		return fmt.Errorf("initiate_login_uri %q: browsers or servers take its path for another, or it is one of Gatehouse's own; write for example\n    initiate_login_uri https://wiki.example.com/login", c.InitiateLoginURI)
	}
	out.InitiateLogin = u
	return nil
}

func (c *AppClient) checkPKCE(out *grant.Client) error {
	switch c.PKCE {
	case "", "required":
	case "optional":
		if out.IsPublic() {
			return errors.New("pkce optional is for an app with a secret: without one, whoever reads a code on its way could use it")
		}
		out.PKCEOptional = true
	default:
		return fmt.Errorf("pkce %q: write required or optional", c.PKCE)
	}
	return nil
}

func (c *AppClient) checkSubject(out *grant.Client) error {
	switch c.Subject {
	case "", "public":
		return nil
	case "pairwise":
		out.Pairwise = true
		if slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return grant.SectorOf(uri) != out.Sector() }) {
			return errors.New("subject pairwise: the sub of a person comes of the host of redirect_uri, so all of them need the same host")
		}
		return nil
	}
	return fmt.Errorf("subject %q: write public or pairwise", c.Subject)
}

func (c *AppClient) checkAlg(out *grant.Client) error {
	if c.IDTokenAlg != "" && c.IDTokenAlg != "RS256" && c.IDTokenAlg != "ES256" {
		return fmt.Errorf("id_token_alg %q: write RS256 or ES256", c.IDTokenAlg)
	}
	out.ES256 = c.IDTokenAlg == "ES256"
	return nil
}
