package authcore_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// noTrace looks for a subject in the whole store.
func (h *house) noTrace(sub string) {
	h.t.Helper()
	for key, value := range h.contents() {
		switch kind, _, _ := strings.Cut(key, "/"); kind {
		case "session", "person-session":
			continue // ended ones stay until their tokens would have expired
		case "challenge", "api-link", "api-poll", "api-slot", "api-handle":
			continue // dead ones, and what leads there, stay until what was sent would have expired
		}
		if strings.Contains(key, sub) || strings.Contains(value, sub) {
			h.t.Errorf("%s is left of somebody who was deleted: %s", key, value)
		}
	}
}

// TestPeopleOfAnAppThatIsNotConfigured: whom lists show is found by address too.
func TestPeopleOfAnAppThatIsNotConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newAppHouse(t)
		defer h.close()
		other := strings.Replace(liveKey, "0123", "9999", 1)
		for _, key := range []string{liveKey, testKey, other} {
			in := linkFor(alice)
			in.Caller, in.Deliver, in.Known.Redirect = h.caller(key), false, ""
			h.prove(apps.Proof{Token: h.ask(in).Token, Caller: in.Caller, Session: week})
		}
		apps, err := apps.NewList()
		want(t, err, nil)
		h.service.Close()
		h.config.Apps = apps
		h.service = h.core.Use(h.config)
		everybody, _, err := h.core.Apps().Everybody(t.Context(), "", 100)
		want(t, err, nil)
		found, err := h.service.Apps().Holders(t.Context(), alice.String())
		want(t, err, nil)
		want(t, len(everybody), 3)
		want(t, len(found), 3)
		for i, realm := range []string{"other/live", "shop/live", "shop/test"} {
			want(t, found[i].Realm.String(), realm)
			list, err := h.core.Sessions().Of(t.Context(), found[i].Subject)
			want(t, err, nil)
			want(t, len(list), 0)
			_, err = h.core.Sessions().EndPerson(t.Context(), found[i].Subject, "revoked")
			want(t, err, nil)
		}
		list, _, err := h.core.Sessions().List(t.Context(), "", 100)
		want(t, err, nil)
		want(t, len(list), 0)
		gone, _, err := h.deleteHolder(found[0], "deleted")
		want(t, err, nil)
		want(t, gone, true)
	})
}

func TestDeletingAMemberLeavesTheOrganization(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		ctx := t.Context()
		v, err := w.deletePerson(w.live, w.bob.Person.Subject)
		w.must(v, err)
		w.noTrace(w.bob.Person.Subject)
		members, _ := w.service.Organizations().Members(ctx, w.live, w.org.ID)
		want(t, len(members), 1)
		want(t, len(w.reported(event.Person)), 1)
		// A second owner may go: one stays.
		eve := w.signInApp(mustAddress("eve@example.com")).Person.Subject
		_, v, err = w.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: w.live, Org: w.org.ID, Subject: eve, Role: organization.Owner, Add: true})
		w.must(v, err)
		v, err = w.deletePerson(w.live, w.boss.Person.Subject)
		w.must(v, err)
		org, _, _ := w.service.Organizations().Find(ctx, w.live, w.org.ID, "")
		want(t, slices.Equal(org.Owners, []string{eve}), true)
	})
}

func TestAnOrganizationKeepsAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		ctx, boss := t.Context(), w.boss.Person.Subject
		before := w.contents()
		v, err := w.deletePerson(w.live, boss)
		want(t, err, nil)
		want(t, v, event.Forbidden)
		after := w.contents()
		want(t, len(after), len(before))
		for key, value := range before {
			want(t, after[key], value)
		}
		if _, v, _ := w.service.Apps().Session(ctx, w.live, apps.SessionRef{Token: w.boss.Token}); v != event.Accepted {
			t.Errorf("the session of who was not deleted: %v", v)
		}
		// An operator is not stopped, and it is told.
		holders, err := w.service.Apps().Holders(ctx, boss)
		want(t, err, nil)
		gone, orphans, err := w.deleteHolder(holders[0], "by_operator")
		want(t, err, nil)
		want(t, gone, true)
		want(t, slices.Equal(orphans, []string{w.org.ID}), true)
		told := w.reported(event.Org)
		if last := told[len(told)-1]; last.Reason != "no_owner" || last.Detail != w.org.ID || last.App != "shop" {
			t.Errorf("%+v", last)
		}
		want(t, w.reported(event.Deleted)[0].Subject, boss)
		org, _, _ := w.service.Organizations().Find(ctx, w.live, w.org.ID, "")
		want(t, len(org.Owners), 0)
		// Its app names another.
		_, v, err = w.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: w.live, Org: w.org.ID, Subject: w.bob.Person.Subject, Role: organization.Owner})
		w.must(v, err)
		again, _, err := w.deleteHolder(holders[0], "by_operator")
		want(t, err, nil)
		want(t, again, false)
	})
}

// With its only member an organization goes, and what was made for it.
func TestAnOrganizationGoesWithItsOnlyMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAppWorld(t)
		defer w.close()
		ctx := t.Context()
		_, v, err := w.service.Organizations().SetRole(ctx, organization.RoleChange{Realm: w.live, Org: w.org.ID, Subject: w.bob.Person.Subject})
		w.must(v, err)
		v, err = w.deletePerson(w.live, w.boss.Person.Subject)
		w.must(v, err)
		w.noTrace(w.boss.Person.Subject)
		for key := range w.contents() {
			if !strings.HasPrefix(key, "session/") && strings.Contains(key, "org") {
				t.Errorf("%s is left of an organization without members", key)
			}
		}
		app := w.service.Apps().Configured().Find("shop")
		_, v, err = w.service.Organizations().Create(ctx, organization.Wish{Realm: w.live, Owner: w.bob.Person.Subject, Name: "Acme", Slug: w.org.Slug, Plan: app.FirstPlan()})
		w.must(v, err) // the slug is free
	})
}

func (h *house) reported(name string) (list []event.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Name == name {
			list = append(list, e)
		}
	}
	return list
}

// deletePerson deletes somebody on the word of their app.
func (h *house) deletePerson(realm person.Realm, sub string) (event.Verdict, error) {
	h.t.Helper()
	gone, err := h.core.Apps().Delete(h.t.Context(), apps.Deletion{Realm: realm, Subject: sub, Reason: "person_deleted"})
	return gone.Verdict, err
}

// deleteHolder deletes anybody on an operator's word.
func (h *house) deleteHolder(who apps.Holder, reason string) (found bool, orphans []string, err error) {
	h.t.Helper()
	gone, err := h.core.Apps().Delete(h.t.Context(), apps.Deletion{Realm: who.Realm, Subject: who.Subject, Reason: reason, Force: true})
	return gone.Verdict == event.Accepted, gone.Orphans, err
}

// joining does something before the next update.
type joining struct {
	store.Store
	before atomic.Pointer[func()]
}

func (j *joining) Update(ctx context.Context, fn func(store.Tx) error) error {
	if before := j.before.Swap(nil); before != nil {
		(*before)()
	}
	return j.Store.Update(ctx, fn)
}

// Whoever joins while the only member is being deleted keeps the organization: the
// deletion is refused, or by an operator leaves it without an owner.
func TestJoiningWhileTheOnlyMemberIsDeleted(t *testing.T) {
	for _, role := range []organization.Role{organization.Member, organization.Admin, organization.Owner} {
		synctest.Test(t, func(t *testing.T) {
			w := newAppWorld(t)
			engine := &joining{Store: w.store}
			w.reopenOn(engine)
			defer w.close()
			zoe, eve := w.signInApp(mustAddress("zoe@example.com")).Person.Subject, w.signInApp(mustAddress("eve@example.com")).Person.Subject
			org, v, err := w.service.Organizations().Create(t.Context(), organization.Wish{Realm: w.live, Owner: zoe, Name: "Zoe", Plan: w.caller(liveKey).App.FirstPlan()})
			w.must(v, err)
			synctest.Wait()
			join := func() {
				_, v, err := w.service.Organizations().SetRole(t.Context(), organization.RoleChange{Realm: w.live, Org: org.ID, Subject: eve, Role: role, Add: true})
				w.must(v, err)
			}
			engine.before.Store(&join)
			v, err = w.deletePerson(w.live, zoe)
			want(t, err, nil)
			want(t, v, map[bool]event.Verdict{true: event.Accepted, false: event.Forbidden}[role == organization.Owner])
			members, err := w.service.Organizations().Members(t.Context(), w.live, org.ID)
			want(t, err, nil)
			want(t, len(members), map[bool]int{true: 1, false: 2}[role == organization.Owner])
		})
	}
}
