package grant

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// Client is an app that signs people in here, as the configuration has it. It is
// read-only once it is in use.
type Client struct {
	ID             string
	Name           string              // what people are told it is called
	Secrets        [][sha256.Size]byte // hashes; none: a public client, which can keep no secret
	Redirects      []string            // where a code may be sent
	AfterLogout    []string            // where a browser may be sent after signing out
	Backchannel    string              // who is told of endings, empty for nobody
	InitiateLogin  *url.URL            // where a sign-in begins at the app; nil: nowhere that others know
	Policy         *policy.Policy      // who may sign in there; nil: nobody
	Named          *policy.Policy      // who of them otherwise than by any
	PKCEOptional   bool                // of a confidential client
	EmailInIDToken bool
	Profile        bool // it may learn the person's name
	Consent        bool // the person is asked first
	SignUp         bool // who is admitted by any alone is asked to sign up first
	Pairwise       bool // subjects are this sector's own
	ES256          bool // how ID tokens are signed; otherwise RS256
}

// IsPublic tells whether the client has no secret.
func (c *Client) IsPublic() bool { return len(c.Secrets) == 0 }

// Knows tells whether secret is one of the client's. Hashes are compared, so that
// the time it takes tells nothing about any.
func (c *Client) Knows(secret string) bool {
	sum, found := sha256.Sum256([]byte(secret)), 0
	for i := range c.Secrets {
		found |= subtle.ConstantTimeCompare(sum[:], c.Secrets[i][:])
	}
	return found == 1
}

// Admits tells whether a person with this address may sign in at the client.
func (c *Client) Admits(a address.Address) bool { return c.Policy.Admits(a) }

// Begins is where a person begins to sign in at the client, told who asks for it
// (OpenID Connect Core, 4), and the origin of that; "" for nowhere.
func (c *Client) Begins(issuer origin.Origin) (string, origin.Origin) {
	if c.InitiateLogin == nil {
		return "", origin.Origin{}
	}
	at, err := origin.New(c.InitiateLogin.Scheme, c.InitiateLogin.Host)
	if err != nil {
		return "", origin.Origin{}
	}
	to := *c.InitiateLogin
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "iss=" + url.QueryEscape(issuer.String())
	return to.String(), at
}

// names tells whether the client admits a otherwise than by any.
func (c *Client) names(a address.Address) bool { return c.Named.Admits(a) }

// MayRedirect tells whether uri is registered, byte by byte. Only the port of a
// program's own loopback address may be another, since the system picks it (RFC
// 8252, 7.3).
func (c *Client) MayRedirect(uri string) bool {
	if slices.Contains(c.Redirects, uri) {
		return true
	}
	asked, ok := loopback(uri)
	return ok && slices.ContainsFunc(c.Redirects, func(one string) bool {
		registered, ok := loopback(one)
		return ok && registered == asked
	})
}

// loopback is a redirect URI of a loopback IP address without its port.
func loopback(uri string) (string, bool) {
	rest, ok := strings.CutPrefix(uri, "http://")
	if !ok {
		return "", false
	}
	host, path, found := strings.Cut(rest, "/")
	for _, name := range []string{"127.0.0.1", "[::1]"} {
		port, ok := strings.CutPrefix(host, name)
		if !ok || port != "" && !isPort(port) {
			continue
		}
		if found {
			return name + "/" + path, true
		}
		return name, true
	}
	return "", false
}

func isPort(s string) bool {
	digits, ok := strings.CutPrefix(s, ":")
	return ok && digits != "" && len(digits) <= 5 && strings.Trim(digits, "0123456789") == ""
}

// mayBeAnother tells whether another program than the client may get what is sent to
// uri, and use it: without a secret, by a scheme or at an address that any program of
// the machine can take (RFC 8252, 8.6). Its person is asked each time. Where the
// portal is on that machine too, localhost is where pages are being written.
func (c *Client) mayBeAnother(uri string, portal origin.Origin) bool {
	if !c.IsPublic() {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return true
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return u.Scheme == "http"
	}
	return u.Scheme == "http" && !portal.IsLocalhost() // with http only localhost is named
}

// HasOrigin tells whether a page at this origin, as browsers write it, is the
// client's: one of its redirect URIs is there.
func (c *Client) HasOrigin(o string) bool {
	return o != "" && slices.ContainsFunc(c.Redirects, func(one string) bool {
		u, err := url.Parse(one)
		return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Scheme+"://"+u.Host == o
	})
}

// Sector names whose subjects the client shares: the host of its redirect URIs.
func (c *Client) Sector() string {
	if len(c.Redirects) == 0 {
		return ""
	}
	return SectorOf(c.Redirects[0])
}

// sectorNow is the sector that people are named for who sign in now; empty: none's.
func (c *Client) sectorNow() string {
	if !c.Pairwise {
		return ""
	}
	return c.Sector()
}

// SectorOf is the sector of a redirect URI.
func SectorOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if u.Host == "" {
		return u.Scheme
	}
	return strings.ToLower(u.Hostname())
}
