package pages

import "strings"

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
