package pages

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// App is an app that signs people in at the portal, and where that begins.
type App struct {
	Name string
	At   origin.Origin
	URL  string // at that origin
}

// Sites answers the front page of a portal with the sites and apps that the visitor
// may open, the most used first, or leads to the login form.
func (p *Pages) Sites(w http.ResponseWriter, r *http.Request, v Visit, open []origin.Origin, apps []App) {
	e := p.exchange(w, r, v)
	if v.Session == nil {
		e.redirect(loginPath(origin.ReturnTo{}, v.Origin, e.asked))
		return
	}
	uses, err := p.service.Core().Sessions().Uses(r.Context(), v.Session.Subject)
	if err != nil { // the order is no reason to show nothing
		p.log.Warn("sites are listed in the order of their names: how much they were used can't be read", "error", err)
	}
	// An app behind a gate is listed as the gate's site, or not at all where that refuses
	// the visitor; neither is a gate on the portal's own host.
	all := map[screen.SiteLink]origin.Origin{}
	for _, o := range open {
		if o != v.Origin {
			all[p.look.Link(o, "/")] = o
		}
	}
	for _, a := range apps {
		to := origin.ParseReturnTo(a.URL, a.At, nil)
		if !slices.Contains(open, a.At) && (p.passes == nil || p.passes(v.Session, to, v.Client)) {
			all[screen.SiteLink{Name: a.Name, Title: a.Name, URL: a.URL, Host: a.At.Host()}] = a.At
		}
	}
	view := e.view("sites", "some")
	if len(all) == 0 {
		view.State = "none"
	}
	view.Sites = slices.SortedFunc(maps.Keys(all), func(a, b screen.SiteLink) int {
		return cmp.Or(uses[all[b].String()]-uses[all[a].String()], strings.Compare(a.Host, b.Host), strings.Compare(a.URL, b.URL))
	})
	view.Titled("sites.title")
	e.page(http.StatusOK, view)
}

// relatives are the other sites of the visitor's sign-in, without this one and,
// where that is another host, without the portal.
func (e *exchange) relatives() ([]screen.SiteLink, error) {
	if e.v.Session == nil {
		return nil, nil
	}
	all, err := e.p.service.Sessions().SignIns(e.r.Context(), e.v.Session)
	if err != nil {
		return nil, err
	}
	var links []screen.SiteLink
	for _, s := range all {
		o, err := origin.Parse(s.Issuer)
		if err != nil || o == e.v.Origin || s.ID == e.v.Session.ID {
			continue
		}
		link := e.p.look.Link(o, "/")
		if !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	return links, nil
}
