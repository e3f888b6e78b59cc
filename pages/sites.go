package pages

import (
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Sites answers the front page of a portal with the sites that the visitor may
// open, the most used first, or leads to the login form.
func (p *Pages) Sites(w http.ResponseWriter, r *http.Request, v Visit, open []origin.Origin) {
	e := p.exchange(w, r, v)
	if v.Session == nil {
		e.redirect(loginPath(origin.ReturnTo{}, v.Origin, e.asked))
		return
	}
	// A gate that stands on the portal's own host is no way to anywhere else.
	open = slices.DeleteFunc(open, func(o origin.Origin) bool { return o == v.Origin })
	view := e.view("sites", "some")
	if len(open) == 0 {
		view.State = "none"
	}
	uses, err := p.service.Core().Sessions().Uses(r.Context(), v.Session.Subject)
	if err != nil { // the order is no reason to show nothing
		p.log.Warn("sites are listed in the order of their names: how much they were used can't be read", "error", err)
	}
	slices.SortStableFunc(open, func(a, b origin.Origin) int { return uses[b.String()] - uses[a.String()] })
	for _, o := range open {
		view.Sites = append(view.Sites, p.look.Link(o, "/"))
	}
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
