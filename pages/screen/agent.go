package screen

import (
	"fmt"
	"net/netip"
	"strings"
)

// Families of browsers and systems by a part of the User-Agent that gives them
// away. The order matters: nearly all pretend to be Safari, and most Chrome.
var (
	browsers = [][2]string{
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"},
		{"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chromium"},
		{"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems = [][2]string{
		{"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"Android", "Android"},
		{"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

// Browser is what a User-Agent says of browser and system, in short and in
// English, as in "Firefox, Windows"; empty for one that says neither.
func Browser(userAgent string) string {
	browser, system := parseAgent(userAgent)
	return strings.Trim(browser+", "+system, ", ")
}

// parseAgent names the families of browser and system, empty where unknown.
// Only words of our own come out, whatever a visitor sends.
func parseAgent(userAgent string) (browser, system string) {
	return firstMatch(userAgent, browsers), firstMatch(userAgent, systems)
}

func firstMatch(s string, table [][2]string) string {
	for _, row := range table {
		if strings.Contains(s, row[0]) {
			return row[1]
		}
	}
	return ""
}

// near writes a network as people may have seen addresses written: 203.0.113.x
// for 203.0.113.0/24, 2001:db8:7:x for 2001:db8:7::/48.
func Near(network string) string {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return network
	}
	if a := p.Addr(); a.Is4() {
		return strings.TrimSuffix(a.String(), "0") + "x"
	}
	b := p.Addr().As16()
	return fmt.Sprintf("%x:%x:%x:x", uint(b[0])<<8|uint(b[1]), uint(b[2])<<8|uint(b[3]), uint(b[4])<<8|uint(b[5]))
}

// agent names browser and system, as far as the User-Agent tells.
func (c *Catalog) Agent(userAgent string) string {
	browser, system := parseAgent(userAgent)
	switch {
	case browser != "" && system != "":
		return c.say("agent", 0, given("browser", browser, "system", system))
	case browser == "" && system == "":
		return c.say("agent.unknown", 0, nil)
	}
	return strings.TrimSpace(browser + system)
}
