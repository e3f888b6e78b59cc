package stackbe

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
)

// member is a membership on the wire.
type member struct {
	CustomerID     string            `json:"customerId"`
	OrganizationID string            `json:"organizationId"`
	Email          string            `json:"email"`
	Name           *string           `json:"name"`
	Role           organization.Role `json:"role"`
	JoinedAt       string            `json:"joinedAt"`
}

// memberOf names the member by asked, if they are known by it.
func memberOf(m *organization.Membership, asked address.Address) member {
	return member{customerPrefix + m.Person.Subject, orgPrefix + m.Org.ID, m.Person.Shown(asked).String(), orNull(m.Person.Name), m.Role, timestamp(m.Since)}
}

func (a *API) listMembers(c *api.Call) error {
	org, _, _, err := a.enter(c)
	if err != nil {
		return err
	}
	list, err := a.service.Organizations().Members(c.R.Context(), org.Realm, org.ID)
	if err != nil {
		return err
	}
	out := []member{}
	for _, m := range list {
		out = append(out, memberOf(&m, address.Address{}))
	}
	return c.Answer(http.StatusOK, out)
}

// addMember makes a customer a member without asking: only the app itself may.
func (a *API) addMember(c *api.Call) error {
	org, _, o, err := a.enterWith(c)
	if err != nil {
		return err
	}
	id := o.Need("customerId")
	role, err := roleIn(o)
	if err != nil {
		return err
	}
	p, err := a.person(c, id)
	if err != nil {
		return err
	}
	return a.setRole(c, http.StatusCreated, organization.RoleChange{Realm: org.Realm, Org: org.ID, Subject: p.Subject, Role: role, Add: true})
}

func (a *API) changeMember(c *api.Call) error {
	org, s, o, err := a.enterWith(c)
	if err != nil {
		return err
	}
	role, err := roleIn(o)
	if err != nil {
		return err
	}
	sub := cut(c.Param("customerId"), customerPrefix)
	return a.setRole(c, http.StatusOK, organization.RoleChange{Realm: org.Realm, Org: org.ID, Subject: sub, Role: role, By: by(s)})
}

func (a *API) removeMember(c *api.Call) error {
	org, s, _, err := a.enter(c)
	if err != nil {
		return err
	}
	sub := cut(c.Param("customerId"), customerPrefix)
	return a.setRole(c, http.StatusOK, organization.RoleChange{Realm: org.Realm, Org: org.ID, Subject: sub, By: by(s)})
}

// setRole changes a membership and answers with it.
func (a *API) setRole(c *api.Call, status int, change organization.RoleChange) error {
	m, v, err := a.service.Organizations().SetRole(c.R.Context(), change)
	if err != nil {
		return err
	}
	switch {
	case v == event.Unknown:
		return api.Refuse(http.StatusNotFound, codeNotFound, "Member not found")
	case v == event.Forbidden && change.By == "":
		return api.Refuse(http.StatusBadRequest, codeValidation, "An organization keeps at least one owner, and has at most 100.")
	case v != event.Accepted:
		return errRole
	case change.Role == "":
		return c.Answer(http.StatusOK, map[string]any{"success": true})
	}
	return c.Answer(status, memberOf(&m, address.Address{}))
}
