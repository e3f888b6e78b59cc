package origin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// SitePattern names sites by host, as in wiki.example.com,
// *.apps.example.com (exactly one label in the place of the star),
// wiki.example.com:8443 or https://wiki.example.com. Without a scheme it means
// both; without a port the scheme's default, on localhost any. The zero value
// covers nothing.
type SitePattern struct {
	scheme string // http or https; empty: both
	parent string // with a star: what follows "*."
	host   string // without a star: the host name
	port   string // empty: the default, on localhost any
}

var errSitePattern = errors.New("a site is a host name such as wiki.example.com or *.apps.example.com, with a port where it is not the default")

// ParseSitePattern reads a pattern.
func ParseSitePattern(s string) (SitePattern, error) {
	var p SitePattern
	rest := s
	if scheme, after, ok := cutScheme(s); ok {
		p.scheme, rest = scheme, strings.TrimSuffix(after, "/")
	}
	rest, star := strings.CutPrefix(rest, "*.")
	o, err := Parse("http://" + rest)
	if err != nil || rest == "" {
		return SitePattern{}, fmt.Errorf("site %q: %w", s, errSitePattern)
	}
	if _, port, _ := cutPort(rest); port != "" {
		p.port = port
	}
	name := o.Hostname()
	switch {
	case !star:
		p.host = name
	case !strings.Contains(name, ".") && name != "localhost" || strings.Contains(name, ":") || address.EndsInNumber(name):
		return SitePattern{}, fmt.Errorf("site %q: a star stands in front of a domain of at least two labels, as in *.apps.example.com", s)
	default:
		p.parent = name
	}
	return p, nil
}

// Covers tells whether o is one of the sites.
func (p SitePattern) Covers(o Origin) bool {
	if o.IsZero() || p.scheme != "" && p.scheme != o.Scheme() || !p.CoversName(o.Hostname()) {
		return false
	}
	if p.port == "" {
		return o.IsLocalhost() || o.Port() == defaultPort(o.Secure())
	}
	return p.port == o.Port()
}

// CoversName tells whether name is the host name of one of the sites, whatever the port.
func (p SitePattern) CoversName(name string) bool {
	if p.parent == "" {
		return p.host != "" && p.host == name
	}
	label, parent, _ := strings.Cut(name, ".")
	return label != "" && parent == p.parent
}

// Exact tells whether the pattern names one host.
func (p SitePattern) Exact() bool { return p.host != "" }

// Origin returns where a pattern without a star stands, over scheme unless it
// names one; zero for one with a star.
func (p SitePattern) Origin(scheme string) Origin {
	if !p.Exact() {
		return Origin{}
	}
	host := p.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p.port != "" {
		host += ":" + p.port
	}
	if p.scheme != "" {
		scheme = p.scheme
	}
	o, _ := New(scheme, host) // it was parsed once
	return o
}

// MarshalText returns the pattern as it is written.
func (p SitePattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses as ParseSitePattern does.
func (p *SitePattern) UnmarshalText(text []byte) (err error) {
	*p, err = ParseSitePattern(string(text))
	return err
}

// Name is the host name without scheme and port, with *. in front for all below
// it.
func (p SitePattern) Name() string {
	switch {
	case p.parent != "":
		return "*." + p.parent
	case strings.Contains(p.host, ":"):
		return "[" + p.host + "]"
	}
	return p.host
}

// String returns the pattern as it is written.
func (p SitePattern) String() string {
	s := p.Name()
	if p.scheme != "" {
		s = p.scheme + "://" + s
	}
	if p.port != "" {
		s += ":" + p.port
	}
	return s
}

// IsOnly reports whether p covers o and no other origin.
func (p SitePattern) IsOnly(o Origin) bool {
	return p.scheme == o.Scheme() && p.Origin(p.scheme) == o
}
