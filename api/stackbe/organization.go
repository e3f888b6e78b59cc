package stackbe

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/orgname"
)

// organizationRoutes adds the calls below prefix. Each takes an API key, which
// may do everything, or a session token, which may do what its person's role
// allows.
func (a *API) organizationRoutes(prefix string) {
	org := prefix + "/{orgId}"
	a.On(http.MethodPost, prefix, a.createOrganization)
	a.On(http.MethodGet, prefix, a.listOrganizations)
	a.On(http.MethodGet, org, a.getOrganization)
	a.On(http.MethodPatch, org, a.updateOrganization)
	a.On(http.MethodGet, org+"/members", a.listMembers)
	a.On(http.MethodPost, org+"/members", a.addMember)
	a.On(http.MethodPatch, org+"/members/{customerId}", a.changeMember)
	a.On(http.MethodDelete, org+"/members/{customerId}", a.removeMember)
	a.On(http.MethodPost, org+"/invites", a.invite)
	a.On(http.MethodGet, org+"/invites", a.listInvites)
	a.On(http.MethodPost, org+"/invites/{inviteId}/resend", a.resendInvite)
	a.On(http.MethodDelete, org+"/invites/{inviteId}", a.withdrawInvite)
	a.On(http.MethodPost, prefix+"/invites/accept", a.acceptInvite)
}

func organizationsOn(app *apps.App) error {
	if app.Organizations {
		return nil
	}
	return api.Refuse(http.StatusForbidden, codeFeature, "Organizations are not enabled for this app: write organizations on in its block of the configuration.")
}

// either is the session that the call is made with, nil for an API key.
func (a *API) either(c *api.Call) (*apps.Session, error) {
	return c.Session, organizationsOn(c.Caller.App)
}

// by is the subject on whose behalf a call is made, "" for the app's own.
func by(s *apps.Session) string {
	if s == nil {
		return ""
	}
	return s.Person.Subject
}

// orgView is one on the wire.
type orgView struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Slug      string            `json:"slug"`
	Plan      *string           `json:"plan"`
	Role      organization.Role `json:"role,omitempty"` // of the customer who is asked about
	CreatedAt string            `json:"createdAt"`
}

func organizationOf(o *organization.Organization, role organization.Role) orgView {
	return orgView{orgPrefix + o.ID, o.Name, o.Slug, orNull(o.Plan), role, timestamp(o.Created)}
}

var (
	errNoOrganization = api.Refuse(http.StatusNotFound, codeNotFound, "Organization not found")
	errRole           = api.Refuse(http.StatusForbidden, codeUnauthorized, "The role in this organization does not allow it.")
)

func (a *API) createOrganization(c *api.Call) error {
	s, err := a.either(c)
	if err != nil {
		return err
	}
	o, err := c.JSON()
	if err != nil {
		return err
	}
	title, slug, owner := o.Need("name"), o.String("slug"), by(s)
	if s == nil {
		owner = cut(o.Need("ownerId"), customerPrefix)
	}
	if err := o.Err(); err != nil {
		return err
	}
	org, v, err := a.service.Organizations().Create(c.R.Context(), organization.Wish{Realm: c.Caller.Realm(), Owner: owner, Name: title, Slug: slug, Plan: c.Caller.App.FirstPlan(), By: by(s)})
	if err != nil {
		return err
	}
	switch v {
	case event.Accepted:
		return c.Answer(http.StatusCreated, organizationOf(&org, organization.Owner))
	case event.Unknown:
		return errNoCustomer
	case event.Taken:
		return api.Refuse(http.StatusBadRequest, codeValidation, "Another organization has this slug.")
	}
	return api.Refuse(http.StatusBadRequest, codeValidation, "name "+orgname.What+"; slug has lower-case letters, digits and single hyphens.")
}

// listOrganizations lists those of a customer: of the one whose session it is,
// or of the one whom the key's holder names.
func (a *API) listOrganizations(c *api.Call) error {
	s, err := a.either(c)
	if err != nil {
		return err
	}
	sub := by(s)
	if s == nil {
		q, err := c.Query()
		if err != nil {
			return err
		}
		id := q.Need("customerId")
		if err := q.Err(); err != nil {
			return err
		}
		p, err := a.person(c, id)
		if err != nil {
			return err
		}
		sub = p.Subject
	}
	list, err := a.service.Organizations().Of(c.R.Context(), c.Caller.Realm(), sub)
	if err != nil {
		return err
	}
	out := []orgView{}
	for _, m := range list {
		out = append(out, organizationOf(&m.Org, m.Role))
	}
	return c.Answer(http.StatusOK, out)
}

// enter finds the organization of the path for who calls.
func (a *API) enter(c *api.Call) (*organization.Organization, *apps.Session, organization.Role, error) {
	s, err := a.either(c)
	if err != nil {
		return nil, nil, "", err
	}
	org, role, err := a.service.Organizations().Find(c.R.Context(), c.Caller.Realm(), cut(c.Param("orgId"), orgPrefix), by(s))
	if err == nil && org == nil {
		err = errNoOrganization
	}
	return org, s, role, err
}

// enterWith is enter for a call that has a body.
func (a *API) enterWith(c *api.Call) (*organization.Organization, *apps.Session, *api.Object, error) {
	org, s, _, err := a.enter(c)
	if err != nil {
		return nil, nil, nil, err
	}
	o, err := c.JSON()
	return org, s, o, err
}

func (a *API) getOrganization(c *api.Call) error {
	org, s, role, err := a.enter(c)
	if err != nil {
		return err
	}
	if s == nil {
		role = ""
	}
	return c.Answer(http.StatusOK, organizationOf(org, role))
}

// updateOrganization changes the name; the plan is the app's own to change.
func (a *API) updateOrganization(c *api.Call) error {
	org, s, o, err := a.enterWith(c)
	if err != nil {
		return err
	}
	d, err := draftOf(c.Caller.App, o)
	if err != nil {
		return err
	}
	changed, v, err := a.service.Organizations().Update(c.R.Context(), org.Realm, org.ID, by(s), d.Name, d.Plan)
	if err != nil {
		return err
	}
	switch v {
	case event.Accepted:
		return c.Answer(http.StatusOK, organizationOf(&changed, ""))
	case event.Unknown:
		return errNoOrganization
	case event.Forbidden:
		return errRole
	}
	return api.Refuse(http.StatusBadRequest, codeValidation, "name "+orgname.What+".")
}

// roleIn reads a role.
func roleIn(o *api.Object) (organization.Role, error) {
	text := o.Need("role")
	if err := o.Err(); err != nil {
		return "", err
	}
	role, ok := organization.ParseRole(text)
	if !ok {
		return "", api.Malformed("role", "owner, admin or member")
	}
	return role, nil
}
