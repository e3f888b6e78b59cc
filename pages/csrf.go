package pages

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// sameOrigin tells whether a POST comes from a page of own, so that no other
// site can make a browser sign in, answer or sign out. Browsers say so
// themselves: Sec-Fetch-Site in all current ones, else Origin, else Referer.
// A request with none of them is refused: it may be a browser with all three
// stripped, and scripts can send Origin.
func sameOrigin(r *http.Request, own origin.Origin) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		return len(origin) == 1 && isOrigin(origin[0], own)
	}
	referer := r.Header["Referer"]
	if len(referer) != 1 {
		return false
	}
	u, err := url.Parse(referer[0])
	return err == nil && u.User == nil && isOrigin(u.Scheme+"://"+u.Host, own)
}

func isOrigin(s string, own origin.Origin) bool {
	o, err := origin.Parse(s)
	return err == nil && !own.IsZero() && o == own
}
