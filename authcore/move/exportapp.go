package move

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Lines of what belongs to apps. Each says of which realm it is, so that one
// can be judged without those it names.

type exportAppPerson struct {
	Type    string       `json:"type"`
	Subject string       `json:"sub"`
	Realm   person.Realm `json:"realm"`
	Name    string       `json:"name,omitempty"`
	Created time.Time    `json:"created,omitzero"`
	person.Profile
}

// exportOrg has no owners: the lines of its members say who they are.
type exportOrg struct {
	Type    string       `json:"type"`
	ID      string       `json:"id"`
	Realm   person.Realm `json:"realm"`
	Name    string       `json:"name"`
	Slug    string       `json:"slug"`
	Plan    string       `json:"plan,omitempty"`
	Created time.Time    `json:"created"`
}

type exportMember struct {
	Type  string       `json:"type"`
	Realm person.Realm `json:"realm"`
	organization.MemberRecord
}

type exportInvite struct {
	Type string `json:"type"`
	organization.Invite
}

func (e *exporter) organizations(ctx context.Context) error {
	if err := each(ctx, e, store.KeyOrg, e.org); err != nil {
		return err
	}
	if err := each(ctx, e, store.KeyOrgPerson, e.member); err != nil {
		return err
	}
	return each(ctx, e, store.KeyInvite, e.invite)
}

func (e *exporter) org(_ store.Tx, o *organization.Organization) error {
	e.count.Organizations++
	return e.w.Encode(exportOrg{lineOrg, o.ID, o.Realm, o.Name, o.Slug, o.Plan, o.Created})
}

// orgOf is owner for organizations.
func (e *exporter) orgOf(tx store.Tx, id string) (*organization.Organization, error) {
	o, err := organization.LoadOrgOfAny(tx, id)
	if err == nil && o != nil && o.Created.After(e.began) {
		err = e.org(tx, o)
	}
	return o, err
}

func (e *exporter) member(tx store.Tx, m *organization.MemberRecord) error {
	o, err := e.orgOf(tx, m.Org)
	if err != nil || o == nil {
		return err
	}
	if p, err := e.owner(tx, o.Realm, m.Subject); err != nil || p == nil {
		return err
	}
	e.count.Memberships++
	return e.w.Encode(exportMember{lineMember, o.Realm, *m})
}

func (e *exporter) invite(tx store.Tx, i *organization.Invite) error {
	o, err := e.orgOf(tx, i.Org)
	if err != nil || o == nil || o.Realm != i.Realm {
		return err
	}
	if alive, err := i.IsAlive(tx); err != nil || i.Waits() && !alive {
		return err
	}
	i.Span = "" // this instance's
	e.count.Invites++
	return e.w.Encode(exportInvite{lineInvite, *i})
}
