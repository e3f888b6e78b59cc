package apps

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/internal/decide"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Deletion is whom to delete, and on whose word.
type Deletion struct {
	Realm   person.Realm // zero: of the gates
	Subject string
	Reason  string // a stable word, which the endings of sessions have too
	// Force deletes also the last owner of an organization that has other members,
	// as operators may.
	Force bool
}

// Deleted is what came of a Deletion.
type Deleted struct {
	// Verdict is Accepted; Unknown, when there is nobody like that in the realm; or
	// Forbidden, with nothing changed, for the last owner of an organization that
	// has other members: an organization keeps an owner.
	Verdict event.Verdict
	Orphans []string // organizations that have lost their last owner, by Force
}

// Delete removes a person with all that is known of them: sessions end, with
// their streams, codes and links under way die, memberships go, and so does an
// organization that the person was alone in, and the history of an account. What
// stays for a while names nobody: ended sessions, so that their cookies stay
// refused, that an account with this address is gone, tombstones so that no import
// brings them back, and the counters of limits.
//
// If it fails halfway it may be called again with the same subject: the person
// goes after all that is found through them.
func (c *Core) Delete(ctx context.Context, in Deletion) (Deleted, error) {
	d, v, err := decide.View(ctx, c.store, func(tx store.Tx) (deletion, event.Verdict, error) {
		d := deletion{core: c, in: in}
		v, err := d.find(tx)
		return d, v, err
	})
	if err != nil || v != event.Accepted {
		return Deleted{Verdict: v}, err
	}
	if err := d.forget(ctx); err != nil {
		return Deleted{}, err
	}
	orphans, v, err := decide.Update(ctx, c.store, d.remove)
	if errors.Is(err, organization.ErrJoined) {
		return c.Delete(ctx, in)
	}
	if err != nil || v != event.Accepted {
		return Deleted{Verdict: v}, err
	}
	// What has come meanwhile:
	late, err := d.sweep(ctx)
	orphans = append(orphans, late...)
	d.report(orphans)
	return Deleted{Orphans: orphans}, errors.Join(err, d.forget(ctx))
}

// sweep leaves the organizations that the person has come into between find and
// remove. It is the last time: who adds a member reads the person in the same
// transaction.
func (d *deletion) sweep(ctx context.Context) (orphans []string, err error) {
	if d.orgs, err = store.View(ctx, d.core.store, d.memberships); err != nil || d.orgs.IsEmpty() {
		return nil, err
	}
	if orphans, err = store.Update(ctx, d.core.store, d.leaveAll); errors.Is(err, organization.ErrJoined) {
		return d.sweep(ctx)
	}
	return orphans, err
}

// deletion takes a person out of the store.
type deletion struct {
	core *Core
	in   Deletion
	p    *person.Record
	orgs organization.Leaving
}

// find finds the person and their organizations, and what would be refused.
func (d *deletion) find(tx store.Tx) (v event.Verdict, err error) {
	if d.p, err = d.load(tx); err != nil || d.p == nil {
		return event.Unknown, err
	}
	if d.orgs, err = d.memberships(tx); err != nil {
		return event.Unknown, err
	}
	return d.mayGo(tx)
}

func (d *deletion) memberships(tx store.Tx) (organization.Leaving, error) {
	return organization.LoadLeaving(tx, d.in.Realm, d.in.Subject)
}

// mayGo is the Verdict of the organizations.
func (d *deletion) mayGo(tx store.Tx) (event.Verdict, error) {
	if d.in.Force {
		return event.Accepted, nil
	}
	return d.orgs.Verdict(tx)
}

func (d *deletion) leaveAll(tx store.Tx) ([]string, error) { return d.orgs.Leave(tx, d.core.now()) }

func (d *deletion) load(tx store.Tx) (*person.Record, error) {
	if d.in.Realm == (person.Realm{}) {
		return person.FindAccount(tx, d.in.Subject)
	}
	return person.LoadIn(tx, d.in.Realm, d.in.Subject)
}

// forget ends the sessions of the person, and forgets the history of an account.
func (d *deletion) forget(ctx context.Context) error {
	if _, err := d.core.sessions.EndAll(ctx, d.p, d.in.Reason, session.Kept{}); err != nil || !d.p.IsAccount() {
		return err
	}
	if err := d.core.grants.Forget(ctx, d.p); err != nil {
		return err
	}
	if err := d.core.delivery.Forget(ctx, d.p.Address); err != nil {
		return err
	}
	return d.core.history.Forget(ctx, d.p.Address)
}

// remove deletes the person, and returns the organizations that have lost their
// last owner.
func (d *deletion) remove(tx store.Tx) (orphans []string, v event.Verdict, err error) {
	p, err := d.load(tx)
	if err != nil || p == nil {
		return nil, event.Unknown, err
	}
	if v, err := d.mayGo(tx); err != nil || v != event.Accepted {
		return nil, v, err
	}
	if orphans, err = d.leaveAll(tx); err != nil {
		return nil, event.Unknown, err
	}
	if err := p.Delete(tx, d.core.now()); err != nil {
		return nil, event.Unknown, err
	}
	if p.IsAccount() {
		tx.Delete(store.KeyMachines + p.Subject)
		err = challenge.EndAll(tx, p.Address, d.core.now())
	}
	return orphans, event.Accepted, err
}

func (d *deletion) report(orphans []string) {
	e := event.Event{Name: event.Deleted, App: d.in.Realm.App, Address: d.p.Address, Subject: d.p.Subject, Reason: d.in.Reason}
	for _, org := range orphans {
		d.core.log.Warn("an organization has lost its last owner; its app can make another member the owner, with its secret key", "app", e.App, "organization", org)
		d.core.observe(event.Event{Name: event.Org, App: e.App, Subject: e.Subject, Reason: "no_owner", Detail: org})
	}
	if d.p.IsAccount() {
		d.core.count(0, -1)
	}
	if d.in.Realm != (person.Realm{}) && !d.in.Force { // its app's word
		e.Name, e.Reason = event.Person, "deleted"
	}
	d.core.observe(e)
}
