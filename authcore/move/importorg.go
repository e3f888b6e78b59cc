package move

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/orgname"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func (in *exportOrg) problem(now time.Time) string {
	isSlug := in.Slug != "" && strings.Trim(in.Slug, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	switch {
	case !keyring.IsID(in.ID):
		return "id is missing or not 27 letters and digits"
	case !isOfApp(in.Realm):
		return problemRealm
	case !orgname.Valid(in.Name):
		return "name " + orgname.What
	case len(in.Plan) > person.MaxName:
		return "plan is too long"
	case !isSlug || len(in.Slug) > organization.MaxSlug:
		return "slug is missing, too long or not lower-case letters, digits and hyphens only"
	case in.Created.IsZero() || in.Created.After(now.Add(keyring.ClockSkew)):
		return "created is missing or lies in the future"
	}
	return ""
}

func (in *exportOrg) check(im *importer, tx store.Tx, n int) error {
	if problem := in.problem(im.Now()); problem != "" {
		return refuseLine(n, "%s", problem)
	}
	if !im.seen.claim(store.KeyOrg+in.ID, in.Realm.String()) {
		return refuseLine(n, "another line gives the same id to another app's organization")
	}
	if !im.seen.claim(person.Key(in.Realm, person.BySlug, in.Slug), in.ID) {
		return refuseLine(n, "another line gives the same slug to another organization")
	}
	return in.clash(tx, n)
}

func (in *exportOrg) clash(tx store.Tx, n int) error {
	old, err := organization.LoadOrgOfAny(tx, in.ID)
	if err != nil {
		return err
	}
	if old != nil && old.Realm != in.Realm {
		return refuseLine(n, "its id is another app's organization here; take the line out, with its members and invitations")
	}
	var id string
	taken, err := store.Load(tx, person.Key(in.Realm, person.BySlug, in.Slug), &id)
	if err == nil && taken && id != in.ID {
		return refuseLine(n, "its slug is another organization's here; change it, or take the line out with its members and invitations")
	}
	return err
}

// apply adds an organization without members; one that is here stays as it is.
func (in *exportOrg) apply(_ *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	if err := in.clash(tx, n); err != nil {
		return nil, err
	}
	old, err := organization.LoadOrg(tx, in.Realm, in.ID)
	if err != nil {
		return nil, err
	}
	if old != nil {
		done.Unchanged++
		return nil, nil
	}
	done.Organizations++
	o := organization.Organization{ID: in.ID, Realm: in.Realm, Name: in.Name, Slug: in.Slug, Plan: in.Plan, Owners: []string{}, Created: in.Created}
	if err := store.Save(tx, person.Key(o.Realm, person.BySlug, o.Slug), o.ID, time.Time{}); err != nil {
		return nil, err
	}
	return nil, store.Save(tx, store.KeyOrg+o.ID, o, time.Time{})
}

func (in *exportMember) check(im *importer, tx store.Tx, n int) error {
	role, known := organization.ParseRole(string(in.Role))
	switch {
	case !isOfApp(in.Realm):
		return refuseLine(n, problemRealm)
	case !keyring.IsID(in.Org) || !keyring.IsID(in.Subject) || in.Tenure != "" && !keyring.IsID(in.Tenure):
		return refuseLine(n, "org or sub is missing or not 27 letters and digits, or tenure is not")
	case !known:
		return refuseLine(n, "role is none of owner, admin and member")
	case in.Since.IsZero() || in.Since.After(im.Now().Add(keyring.ClockSkew)):
		return refuseLine(n, "since is missing or lies in the future")
	}
	if !im.seen.claim(store.KeyOrgPerson+in.Org+"/"+in.Subject, string(in.Role)) {
		return refuseLine(n, "another line gives the same person another role in the organization")
	}
	if org := digestOf(in.Org); role == organization.Owner {
		if im.seen.owners[org]++; im.seen.owners[org] > organization.MaxOwners {
			return refuseLine(n, "the organization has more than %d owners", organization.MaxOwners)
		}
	}
	if err := im.needsOrg(tx, n, in.Realm, in.Org); err != nil {
		return err
	}
	return im.needsPerson(tx, n, in.Realm, in.Subject)
}

// apply makes a person a member; one who is a member stays what they are.
func (in *exportMember) apply(_ *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	o, err := organization.LoadOrg(tx, in.Realm, in.Org)
	if err != nil {
		return nil, err
	}
	p, err := person.LoadIn(tx, in.Realm, in.Subject)
	if err != nil {
		return nil, err
	}
	if o == nil || p == nil {
		return nil, refuseLine(n, "the person or the organization was deleted while the lines were checked")
	}
	old, err := organization.RoleIn(tx, o.ID, p.Subject)
	if err != nil {
		return nil, err
	}
	if old != "" {
		done.Unchanged++
		return nil, nil
	}
	if in.Role == organization.Owner && len(o.Owners) >= organization.MaxOwners {
		return nil, refuseLine(n, "the organization has %d owners here; that is all it can have", organization.MaxOwners)
	}
	done.Memberships++
	return nil, o.Put(tx, in.MemberRecord)
}

func (in *exportInvite) check(im *importer, tx store.Tx, n int) error {
	_, role := organization.ParseRole(string(in.Role))
	soon := im.Now().Add(keyring.ClockSkew)
	switch {
	case !keyring.IsID(in.ID) || !keyring.IsID(in.Org) || in.By != "" && !keyring.IsID(in.By) || in.Tenure != "" && !keyring.IsID(in.Tenure) || in.ByTenure != "" && !keyring.IsID(in.ByTenure):
		return refuseLine(n, "id or org is missing or not 27 letters and digits, or by, tenure or by_tenure is not")
	case !isOfApp(in.Realm):
		return refuseLine(n, problemRealm)
	case in.Email.IsZero() || !role:
		return refuseLine(n, "email is missing, or role is none of owner, admin and member")
	case in.Created.After(soon) || in.Accepted.After(soon) || in.Withdrawn.After(soon) || in.Expires.Before(in.Created) || in.Expires.After(soon.Add(organization.InviteLifetime)):
		return refuseLine(n, "expires is missing or more than seven days away, or another time lies in the future")
	}
	if err := in.clash(tx, n); err != nil {
		return err
	}
	return im.needsOrg(tx, n, in.Realm, in.Org)
}

func (in *exportInvite) clash(tx store.Tx, n int) error {
	var old organization.Invite
	known, err := store.Load(tx, store.KeyInvite+in.ID, &old)
	if err == nil && known && (old.Realm != in.Realm || old.Org != in.Org || old.Email != in.Email) {
		return refuseLine(n, "its id is another invitation's here; take the line out")
	}
	return err
}

// apply adds an invitation, or what the line knows more of one: that it was
// accepted, withdrawn or renewed.
func (in *exportInvite) apply(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	if err := in.clash(tx, n); err != nil {
		return nil, err
	}
	var old organization.Invite
	known, err := store.Load(tx, store.KeyInvite+in.ID, &old)
	if err != nil {
		return nil, err
	}
	other, err := (&organization.Organization{ID: in.Org}).WaitingInvite(tx, in.Email)
	if err != nil {
		return nil, err
	}
	if other != nil && other.ID != in.ID && in.Waits() { // an address has one
		done.Unchanged++
		return nil, nil
	}
	more := !known || old.Waits() && (!in.Waits() || in.Expires.After(old.Expires))
	if !more || !im.Now().Before(in.Kept()) {
		done.Unchanged++
		return nil, nil
	}
	if in.Span, err = organization.KeepSpan(tx, &in.Invite); err != nil {
		return nil, err
	}
	done.Invites++
	return nil, in.Save(tx)
}
