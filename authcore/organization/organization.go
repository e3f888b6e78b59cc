package organization

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/orgname"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Role is what a member may do in an organization.
type Role string

// The roles. Owners may do everything; admins may invite, and change and remove
// members and admins-to-be but no owner or admin; members may look.
const (
	Owner  Role = "owner"
	Admin  Role = "admin"
	Member Role = "member"
)

// ParseRole reads a role; ok is false for any other text.
func ParseRole(s string) (r Role, ok bool) {
	return Role(s), s == string(Owner) || s == string(Admin) || s == string(Member)
}

// Organization is a group of an app's people with a plan of its own.
type Organization struct {
	ID      string       `json:"id"` // 27 letters and digits
	Realm   person.Realm `json:"realm"`
	Name    string       `json:"name"`
	Slug    string       `json:"slug"` // unique in the realm
	Plan    string       `json:"plan,omitempty"`
	Owners  []string     `json:"owners"` // subjects; never empty
	Created time.Time    `json:"created"`
	Changes int          `json:"changes,omitempty"` // of its members, so far
}

// Membership is one person's place in an organization.
type Membership struct {
	Org    Organization
	Person person.Person
	Role   Role
	Since  time.Time
}

// MemberRecord is one person's place in an organization, as it is stored.
type MemberRecord struct {
	Org     string    `json:"org"`
	Subject string    `json:"sub"`
	Role    Role      `json:"role"`
	Since   time.Time `json:"since"`
	// Tenure names the span in which the member lost no right. What was done by
	// the rights of another one died with it.
	Tenure string `json:"tenure,omitempty"`
}

// MaxOwners bounds the owners of one organization.
const MaxOwners = 100

// LoadOrg reads an organization of realm, nil for none.
func LoadOrg(tx store.Tx, realm person.Realm, id string) (*Organization, error) {
	o, err := LoadOrgOfAny(tx, id)
	if err != nil || o == nil || o.Realm != realm {
		return nil, err
	}
	return o, nil
}

// LoadOrgOfAny reads an organization of whichever app; nil if there is none.
func LoadOrgOfAny(tx store.Tx, id string) (*Organization, error) {
	if !keyring.IsID(id) {
		return nil, nil
	}
	o := &Organization{}
	ok, err := store.Load(tx, store.KeyOrg+id, o)
	if err != nil || !ok || o.ID != id {
		return nil, err
	}
	return o, nil
}

// loadMember reads a person's place in an organization, the zero one for none.
func loadMember(tx store.Tx, org, sub string) (m MemberRecord, err error) {
	if keyring.IsID(org) && keyring.IsID(sub) {
		_, err = store.Load(tx, store.KeyOrgPerson+org+"/"+sub, &m)
	}
	return m, err
}

// Organizations are those of all apps, by the clock and the store of an instance. It
// is safe for concurrent use.
type Organizations struct {
	store   store.Store
	now     func() time.Time
	observe func(event.Event)
}

// New has the organizations of a store.
func New(s store.Store, now func() time.Time, observe func(event.Event)) *Organizations {
	return &Organizations{s, now, observe}
}

// RoleIn returns the role of a person in an organization, "" for none.
func RoleIn(tx store.Tx, org, sub string) (Role, error) {
	m, err := loadMember(tx, org, sub)
	return m.Role, err
}

// isLower tells whether r may less than than.
func (r Role) isLower(than Role) bool {
	return r != than && (than == Owner || r == "" || than == Admin && r == Member)
}

// Wish is what an organization is to be.
type Wish struct {
	Realm person.Realm
	Owner string // subject
	Name  string
	Slug  string // "": made from the name
	Plan  string
	By    string // subject of who wishes it, "" for the app itself
}

// Create makes an organization. To anybody but the app a slug that is free would
// tell of those that are not, so theirs have something random in the end. Verdict
// is Accepted, Unknown (no such owner), Malformed (name or slug) or Taken (the app
// gave the slug, and it is another's).
func (s *Organizations) Create(ctx context.Context, in Wish) (Organization, event.Verdict, error) {
	if !orgname.Valid(in.Name) || in.Slug != "" && in.Slug != slugOf(in.Slug) {
		return Organization{}, event.Malformed, nil
	}
	out, v, err := decide.Update(ctx, s.store, func(tx store.Tx) (o Organization, v event.Verdict, err error) {
		p, err := person.LoadIn(tx, in.Realm, in.Owner)
		if err != nil || p == nil {
			return o, event.Unknown, err
		}
		now := s.now()
		o = Organization{ID: keyring.NewID(now), Realm: in.Realm, Name: in.Name, Slug: in.Slug, Plan: in.Plan, Created: now}
		if v, err = o.takeSlug(tx, in.By); err != nil || v != event.Accepted {
			return o, v, err
		}
		err = o.setRole(tx, in.Owner, Owner, now)
		return o, v, err
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: in.Realm.App, Subject: in.Owner, Reason: "created"})
	}
	return out, v, err
}

// takeSlug claims the organization's slug, or makes one that is free. by is as in
// Create.
func (o *Organization) takeSlug(tx store.Tx, by string) (event.Verdict, error) {
	given := o.Slug != ""
	if !given {
		o.Slug = slugOf(o.Name)
	}
	for base, own := o.Slug, by == ""; ; own = false {
		if !own {
			raw := make([]byte, slugRandom)
			rand.Read(raw)
			o.Slug = base + "-" + hex.EncodeToString(raw)
		}
		key := person.Key(o.Realm, person.BySlug, o.Slug)
		var taken string
		if _, err := store.Load(tx, key, &taken); err != nil {
			return event.Unknown, err
		}
		switch {
		case taken == "":
			return event.Accepted, store.Save(tx, key, o.ID, time.Time{})
		case own && given:
			return event.Taken, nil
		}
	}
}

// Lengths of slugs: what is made of a name, in bytes, and how many random bytes
// follow a hyphen after one that is taken, or might be.
const (
	slugLen    = 48
	slugRandom = 4
	MaxSlug    = slugLen + 1 + 2*slugRandom
)

// slugOf is a name for URLs: lower-case letters, digits and single hyphens.
func slugOf(name string) string {
	var b strings.Builder
	for i := 0; i < len(name) && b.Len() < slugLen; i++ {
		c := ascii.Lower(name[i : i+1])[0]
		if ascii.IsLetterOrDigit(c) {
			b.WriteByte(c)
		} else if n := b.Len(); n > 0 && b.String()[n-1] != '-' {
			b.WriteByte('-')
		}
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug
	}
	return "org"
}

// setRole gives a person a role, "" for none any more, and stores o. An
// invitation that waits for the person has been answered with that.
func (o *Organization) setRole(tx store.Tx, sub string, role Role, now time.Time) error {
	before, err := loadMember(tx, o.ID, sub)
	if err != nil {
		return err
	}
	if err := o.answerInvite(tx, sub, role, now); err != nil {
		return err
	}
	if role == "" {
		if err := person.MarkGone(tx, now, o.ID, sub); err != nil {
			return err
		}
	}
	m := MemberRecord{Org: o.ID, Subject: sub, Role: role, Since: now, Tenure: keyring.NewID(now)}
	if before.Role != "" {
		m.Since = before.Since
		if !role.isLower(before.Role) {
			m.Tenure = before.Tenure
		}
	}
	return o.Put(tx, m)
}

// Put stores a membership, one without a role as none, and o.
func (o *Organization) Put(tx store.Tx, m MemberRecord) error {
	o.Owners = slices.DeleteFunc(slices.Clone(o.Owners), func(s string) bool { return s == m.Subject })
	if m.Role == Owner {
		o.Owners = append(o.Owners, m.Subject)
	}
	byOrg, byPerson := store.KeyOrgPerson+o.ID+"/"+m.Subject, store.KeyPersonOrg+m.Subject+"/"+o.ID
	if m.Role == "" {
		tx.Delete(byOrg)
		tx.Delete(byPerson)
	} else {
		if err := person.Said(tx, o.Realm, m.Subject); err != nil {
			return err
		}
		if err := store.Save(tx, byOrg, m, time.Time{}); err != nil {
			return err
		}
		tx.Put(byPerson, []byte("{}"), time.Time{})
	}
	o.Changes++
	return store.Save(tx, store.KeyOrg+o.ID, o, time.Time{})
}

// enter finds an organization of realm for by, a person, and what they are in it.
// The app itself, "", may do what an owner may. For who is not in it there is no
// such organization: nil.
func enter(tx store.Tx, realm person.Realm, id, by string) (*Organization, MemberRecord, error) {
	o, err := LoadOrg(tx, realm, id)
	if err != nil || o == nil || by == "" {
		return o, MemberRecord{Role: Owner}, err
	}
	m, err := loadMember(tx, o.ID, by)
	if err != nil || m.Role == "" {
		return nil, m, err
	}
	return o, m, nil
}

// Update gives an organization another name or plan; nil leaves it
// as it is. by is as in Find. Verdict is Accepted; Unknown (no such
// organization); Forbidden: owners and admins change the name, the app alone the
// plan; or Malformed (no name that it may have).
func (s *Organizations) Update(ctx context.Context, realm person.Realm, id, by string, name, plan *string) (Organization, event.Verdict, error) {
	return decide.Update(ctx, s.store, func(tx store.Tx) (out Organization, v event.Verdict, err error) {
		o, m, err := enter(tx, realm, id, by)
		switch {
		case err != nil || o == nil:
			return out, event.Unknown, err
		case m.Role == Member || by != "" && plan != nil:
			return out, event.Forbidden, nil
		case name != nil && !orgname.Valid(*name):
			return out, event.Malformed, nil
		}
		if name != nil {
			o.Name = *name
		}
		if plan != nil {
			o.Plan = *plan
		}
		return *o, event.Accepted, store.Save(tx, store.KeyOrg+o.ID, o, time.Time{})
	})
}

// Find returns the organization with id and the role in it of the person
// by. The app itself, "", may do what an owner may. nil for none in realm, and for
// a person who is not in it.
func (s *Organizations) Find(ctx context.Context, realm person.Realm, id, by string) (*Organization, Role, error) {
	type entered struct {
		org  *Organization
		role Role
	}
	e, err := store.View(ctx, s.store, func(tx store.Tx) (entered, error) {
		o, m, err := enter(tx, realm, id, by)
		return entered{o, m.Role}, err
	})
	return e.org, e.role, err
}

// Of returns a person's memberships, the oldest organization first.
func (s *Organizations) Of(ctx context.Context, realm person.Realm, sub string) ([]Membership, error) {
	return s.memberships(ctx, realm, store.KeyPersonOrg+sub+"/", func(org string) (string, string) { return org, sub })
}

// Members returns the members of an organization.
func (s *Organizations) Members(ctx context.Context, realm person.Realm, org string) ([]Membership, error) {
	return s.memberships(ctx, realm, store.KeyOrgPerson+org+"/", func(sub string) (string, string) { return org, sub })
}

// memberships reads the memberships below prefix; ids tells organization and
// person from what follows it.
func (s *Organizations) memberships(ctx context.Context, realm person.Realm, prefix string, ids func(string) (org, sub string)) ([]Membership, error) {
	return store.View(ctx, s.store, func(tx store.Tx) (out []Membership, err error) {
		items, err := tx.Scan(prefix, "", 1000)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			org, sub := ids(item.Key[len(prefix):])
			m, err := loadMembership(tx, realm, org, sub)
			if err != nil {
				return nil, err
			}
			if m.Role != "" {
				out = append(out, m)
			}
		}
		return out, nil
	})
}

// loadMembership reads a person's place in an organization of realm, the zero one
// for none.
func loadMembership(tx store.Tx, realm person.Realm, org, sub string) (out Membership, err error) {
	o, m, err := enter(tx, realm, org, sub)
	if err != nil || o == nil {
		return out, err
	}
	p, err := person.LoadIn(tx, realm, sub)
	if err != nil || p == nil {
		return out, err
	}
	return Membership{*o, p.View(), m.Role, m.Since}, nil
}

// RoleChange is a wish to change somebody's place in an organization.
type RoleChange struct {
	Realm   person.Realm
	Org     string
	Subject string // whose
	Role    Role   // "" takes the person out
	By      string // subject of the member who wishes it; "" for the app itself
	Add     bool   // the person may be new to the organization
}

// SetRole changes, adds or ends a membership, and returns what it is then. Verdict
// is Accepted; Unknown (no such organization, person or membership, or By is not in
// it); Forbidden: only owners change or remove owners and admins or make any, only
// owners and admins change members, and an organization keeps at least one owner.
func (s *Organizations) SetRole(ctx context.Context, in RoleChange) (Membership, event.Verdict, error) {
	out, v, err := decide.Update(ctx, s.store, func(tx store.Tx) (Membership, event.Verdict, error) {
		v, err := s.setRole(tx, in)
		if err != nil || v != event.Accepted {
			return Membership{}, v, err
		}
		out, err := loadMembership(tx, in.Realm, in.Org, in.Subject)
		return out, v, err
	})
	if err == nil && v == event.Accepted {
		s.observe(event.Event{Name: event.Org, App: in.Realm.App, Subject: in.Subject, Reason: "role_" + string(in.Role)})
	}
	return out, v, err
}

func (s *Organizations) setRole(tx store.Tx, in RoleChange) (event.Verdict, error) {
	o, by, err := enter(tx, in.Realm, in.Org, in.By)
	if err != nil || o == nil {
		return event.Unknown, err
	}
	p, err := person.LoadIn(tx, in.Realm, in.Subject)
	if err != nil || p == nil {
		return event.Unknown, err
	}
	old, err := RoleIn(tx, o.ID, p.Subject)
	if err != nil || old == "" && !in.Add {
		return event.Unknown, err
	}
	if leaves := in.By == in.Subject && in.Role == ""; !leaves && !mayChange(by.Role, old, in.Role) {
		return event.Forbidden, nil
	}
	if old == Owner && in.Role != Owner && len(o.Owners) == 1 || in.Role == Owner && len(o.Owners) >= MaxOwners {
		return event.Forbidden, nil
	}
	return event.Accepted, o.setRole(tx, p.Subject, in.Role, s.now())
}

// mayInvite tells whether a member with role r may invite at all, and see whom
// others have invited.
func (r Role) mayInvite() bool { return mayChange(r, "", Member) }

// mayChange tells whether a member with role by may make old into role.
func mayChange(by, old, role Role) bool {
	switch by {
	case Owner:
		return true
	case Admin: // members may be promoted, never to owner; admins are for owners
		return old != Owner && old != Admin && role != Owner
	}
	return false
}
