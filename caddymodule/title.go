package caddymodule

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// The title of a site stands on pages and in mails that ask for a code. One that
// reads as another host would lend Gatehouse's words to whoever has that.

// checkTitle looks at the option name by itself.
func checkTitle(title string) error {
	const try = "write for example\n    name \"Team wiki\""
	switch {
	case title == "":
		return nil
	case !utf8.ValidString(title) || utf8.RuneCountInString(title) > screen.MaxTitle:
		return fmt.Errorf("name: it has more than %d characters, or is no UTF-8; %s", screen.MaxTitle, try)
	case strings.ContainsFunc(title, func(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }):
		return fmt.Errorf("name %q: it has a character that can't be seen; %s", title, try)
	case strings.TrimSpace(title) != title:
		return fmt.Errorf("name %q: it begins or ends with a space; %s", title, try)
	case strings.ContainsAny(title, "/@／＠⁄∕") || strings.Contains(title, "://"):
		return fmt.Errorf("name %q: it reads as an address; %s", title, try)
	}
	return nil
}

// checkHostsInTitle refuses a title that names a host which is none of the gate's.
func (g *Gate) checkHostsInTitle() error {
	if host := foreignHost(g.Name, g.guard.Place.IsAt); host != "" {
		return fmt.Errorf("the gate at %s: name %q reads as the host %s, which is not one of its own; write for example\n    name \"Team wiki\"", g, g.Name, host)
	}
	return nil
}

// foreignHost is a host that a title names and that is not own; empty for none.
func foreignHost(title string, own func(host string) bool) string {
	for word := range strings.FieldsSeq(title) {
		if host, is := readsAsHost(word); is && !own(host) {
			return host
		}
	}
	return ""
}

// checkName looks at the option name of an app, which stands on pages and in mails as
// the title of a site does.
func (c *AppClient) checkName(*apps.App) error {
	if err := checkTitle(c.Name); err != nil {
		return err
	}
	own := func(host string) bool {
		for _, text := range slices.Concat(c.RedirectURIs, c.Origins, []string{c.InitiateLoginURI, c.VerificationURL}, c.Redirects["login"]) {
			if u, err := url.Parse(text); err == nil && strings.EqualFold(u.Hostname(), host) {
				return true
			}
		}
		return false
	}
	if host := foreignHost(c.Name, own); host != "" {
		return fmt.Errorf("name %q reads as the host %s, which is not one of the app's; write for example\n    name \"Example Shop\"", c.Name, host)
	}
	return nil
}

// reserved are domains that no registry has and that networks use all the same.
var reserved = []string{"corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localhost", "onion", "private", "test"}

// readsAsHost tells whether a word of a title reads as a host name or an IP
// address. Wiki.js does not: nobody has a domain js.
func readsAsHost(word string) (host string, is bool) {
	word = strings.NewReplacer("。", ".", "．", ".", "｡", ".", "․", ".").Replace(word)
	word = strings.TrimFunc(word, func(r rune) bool { return r != '[' && r != ']' && !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if ascii, err := idna.Lookup.ToASCII(word); err == nil {
		word = ascii
	}
	o, err := origin.New("https", word)
	if err != nil {
		return "", false
	}
	host = o.Hostname()
	if o.IsLocalhost() || strings.Contains(host, ":") {
		return host, true
	}
	if !strings.Contains(host, ".") {
		return "", false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	for _, domain := range reserved {
		if last == domain {
			return host, true
		}
	}
	if strings.Trim(last, "0123456789") == "" {
		return host, strings.Count(host, ".") == 3 // 192.0.2.1, not version 2.1
	}
	_, known := publicsuffix.PublicSuffix(last)
	return host, known
}

// site is what the site at o is called and shown with: by the first gate there that
// says so.
func (a *App) site(o origin.Origin) (out screen.Site) {
	for _, g := range a.allGates() {
		if (g.Name != "" || g.icon != "") && g.at(o) {
			out.Title, out.Picture = cmp.Or(out.Title, g.Name), cmp.Or(out.Picture, g.icon)
		}
	}
	return out
}

// loadIcons has the look take in the pictures of all sites.
func (a *App) loadIcons() (err error) {
	for _, g := range a.allGates() {
		if g.Icon == "" {
			continue
		}
		if g.icon, err = a.look.Picture(g.Icon); err != nil {
			return fmt.Errorf("the gate at %s: %w; write a PNG or ICO file, as in\n    icon /etc/gatehouse/wiki.png", g, err)
		}
	}
	return nil
}
