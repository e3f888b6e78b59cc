package operate

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Sessions lists live sessions, of gates and apps, by page.
func (i *Instance) Sessions(ctx context.Context, after string, limit int) (SessionPage, error) {
	list, next, err := i.Core.Sessions().List(ctx, after, limit)
	return SessionPage{sessionsOf(list), next}, err
}

// SessionsOf lists the live sessions of everybody whom a subject or address
// names.
func (i *Instance) SessionsOf(ctx context.Context, who string) (page SessionPage, err error) {
	holders, err := i.holders(ctx, who)
	if err != nil {
		return page, err
	}
	page.Sessions = []Session{}
	for _, h := range holders {
		of, err := i.Core.Sessions().Of(ctx, h.Subject)
		if err != nil {
			return page, err
		}
		page.Sessions = append(page.Sessions, sessionsOf(of)...)
	}
	return page, nil
}

func sessionsOf(list []session.Info) []Session {
	out := make([]Session, len(list))
	for i, s := range list {
		out[i] = Session{
			ID: s.ID, Subject: s.Subject, Email: s.Address.String(), Name: s.Name,
			Issuer: s.Issuer, Audience: s.Audience, Sites: append([]string{}, s.Sites...), Method: s.Method, AMR: s.AMR,
			AuthTime: s.AuthTime.UTC(), LastSeen: s.LastSeen.UTC(), Expires: s.Expires.UTC(),
			Agent: s.Agent, Network: s.Network, Public: s.Public, Token: s.Machine,
		}
	}
	return out
}

// EndSession ends one session.
func (i *Instance) EndSession(ctx context.Context, by netip.Addr, sid string) error {
	found, err := i.Core.Sessions().End(ctx, sid, session.RevokedByOperator)
	if err != nil {
		return err
	}
	if !found {
		return refuse(NotFound, "there is no live session with this id")
	}
	i.audit(by, "end_session", nil, "")
	return nil
}

// EndSessionsOf ends all sessions of everybody whom a subject or address names.
func (i *Instance) EndSessionsOf(ctx context.Context, by netip.Addr, who string) error {
	holders, err := i.holders(ctx, who)
	if err != nil {
		return err
	}
	for _, h := range holders {
		if _, err := i.Core.Sessions().EndPerson(ctx, h.Subject, session.RevokedByOperator); err != nil {
			return err
		}
		i.audit(by, "end_sessions", &h, "")
	}
	return nil
}

// Users lists everybody, of gates and apps, by page.
func (i *Instance) Users(ctx context.Context, after string, limit int) (UserPage, error) {
	list, next, err := i.Core.Apps().Everybody(ctx, after, limit)
	page := UserPage{make([]User, len(list)), next}
	for j := range list {
		page.Users[j] = i.user(list[j])
	}
	return page, err
}

// User shows whom a subject or address names, with sessions. An address may be
// several people.
func (i *Instance) User(ctx context.Context, who string) (User, error) {
	holders, err := i.holders(ctx, who)
	if err != nil {
		return User{}, err
	}
	var users []User
	for _, h := range holders {
		sessions, err := i.Core.Sessions().Of(ctx, h.Subject)
		if err != nil {
			return User{}, err
		}
		user := i.user(h)
		user.Sessions = sessionsOf(sessions)
		users = append(users, user)
	}
	users[0].Others = users[1:]
	return users[0], nil
}

func (i *Instance) user(h apps.Holder) User {
	groups := []string{}
	if h.Realm == (person.Realm{}) {
		groups = append(groups, i.Groups.Of(h.Address)...)
	}
	return User{
		Subject: h.Subject, Email: h.Address.String(), Phone: h.Phone.String(), Name: h.Name,
		App: h.Realm.String(), Created: h.Created.UTC(), Groups: groups,
	}
}

// DeleteUser deletes one person. It wants to know whom exactly: what is deleted
// does not come back.
func (i *Instance) DeleteUser(ctx context.Context, by netip.Addr, who string) (Deleted, error) {
	holders, err := i.holders(ctx, who)
	if err != nil {
		return Deleted{}, err
	}
	if len(holders) > 1 {
		var subs []string
		for _, h := range holders {
			subs = append(subs, fmt.Sprintf("%s (%s)", h.Subject, cmp.Or(h.Realm.String(), "gates")))
		}
		return Deleted{}, refuse(Conflict, "%d people have this address; delete each by their subject: %s", len(holders), strings.Join(subs, ", "))
	}
	gone, err := i.Service.Core().Apps().Delete(ctx, apps.Deletion{Realm: holders[0].Realm, Subject: holders[0].Subject, Reason: "by_operator", Force: true})
	if err != nil {
		return Deleted{}, err
	}
	i.audit(by, "delete_user", &holders[0], "")
	return Deleted{gone.Orphans}, nil
}

// Apps lists the clients of the JSON APIs.
func (i *Instance) Apps() []App {
	list := []App{}
	for _, app := range i.Service.Apps().Configured().All() {
		out := App{app.ID, app.DisplayName(), []AppKey{}}
		for _, key := range app.Keys {
			kind := SecretKey
			if key.Publishable {
				kind = PublishableKey
			}
			out.Keys = append(out.Keys, AppKey{key.ID(), kind, key.Test, moment(i.Core.Apps().KeyUsed(key))})
		}
		list = append(list, out)
	}
	return list
}
