package move

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// check looks at lines without changing anything.
func (im *importer) check(ctx context.Context, lines []importLine) error {
	return im.Store.View(ctx, func(tx store.Tx) error {
		for _, line := range lines {
			gone, err := line.record.gone(tx)
			if err == nil && !gone {
				err = line.record.check(im, tx, line.number)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *exportPerson) problem(now time.Time) string {
	if _, ok := person.ParseName(p.Name); !ok {
		return "the name is longer than 100 characters or has some that are not seen"
	}
	switch {
	case !store.IsKeyPart(p.Subject):
		return "sub is missing or not letters, digits, - and _ only"
	case p.Address.IsZero():
		return "email is missing"
	case p.Created.After(now.Add(keyring.ClockSkew)):
		return "created lies in the future"
	}
	return ""
}

// check finds out whether subject or address is somebody else's, in the store
// or in the file.
func (p *exportPerson) check(im *importer, tx store.Tx, n int) error {
	if problem := p.problem(im.Now()); problem != "" {
		return refuseLine(n, "%s", problem)
	}
	address := store.KeyAddress + p.Address.String()
	switch {
	case !im.seen.claim(store.KeyPerson+p.Subject, ""):
		return refuseLine(n, "another line gives the same sub to a person of an app")
	case !im.seen.claim("email of "+p.Subject, address):
		return refuseLine(n, "another line gives the same sub another email")
	case !im.seen.claim(address, p.Subject):
		return refuseLine(n, "another line gives the same email another sub")
	}
	return p.clash(tx, n)
}

// clash tells whether the person contradicts one in the store.
func (p *exportPerson) clash(tx store.Tx, n int) error {
	old, err := person.Load(tx, p.Subject)
	if err != nil {
		return err
	}
	if old != nil && (old.Address != p.Address || !old.IsAccount()) {
		return refuseLine(n, "its sub is another person's here; take the line out, with that person's sessions")
	}
	var sub string
	known, err := store.Load(tx, store.KeyAddress+p.Address.String(), &sub)
	if err != nil {
		return err
	}
	if known && sub != p.Subject {
		return refuseLine(n, "its email has signed in here already, with the sub %s; delete that person first (gatehouse users %[1]s --delete), or take the line out with that person's sessions", sub)
	}
	return nil
}

// problem tells what no session of ours can look like.
func (in *exportSession) problem(now time.Time) string {
	r := &in.Record
	_, err := origin.Parse(r.Issuer)
	switch {
	case !store.IsKeyPart(r.ID) || !store.IsKeyPart(r.Subject):
		return "sid or sub is missing or not letters, digits, - and _ only"
	case err != nil:
		return "iss is not an origin as in https://app.example.com"
	case r.AuthTime.IsZero() || r.AuthTime.After(now.Add(keyring.ClockSkew)):
		return "auth_time is missing or lies in the future"
	case len(r.AMR) == 0 || len(r.AMR) > 8 || len(r.Sites) > session.MaxSites || len(r.Uses) > session.MaxSites:
		return "amr is missing, or amr, sites or uses is too long"
	case challenge.ShortAgent(r.Agent) != r.Agent || len(r.Network) > 64:
		return "agent or network is too long or has characters that can't stand there"
	case r.Next != "" && !store.IsKeyPart(r.Next), r.Parent != "" && !store.IsKeyPart(r.Parent):
		return "next or parent is no session id"
	case r.Machine != nil:
		return "machine tokens are not taken over; make them anew"
	case (r.API != nil) != (in.Type == lineAppSession):
		return "the part api belongs to lines of the type app_session, and to all of them"
	case r.API != nil:
		return problemForApp(r)
	case r.Audience == "" || len(r.Audience) > 300:
		return "aud is missing or too long"
	case r.Expires.Before(r.AuthTime) || r.Expires.Sub(r.AuthTime) > keyring.KeyKept:
		return "expires is missing, before auth_time, or more than 30 days after it"
	}
	return ""
}

func (in *exportSession) check(im *importer, tx store.Tx, n int) error {
	if problem := in.problem(im.Now()); problem != "" {
		return refuseLine(n, "%s", problem)
	}
	if err := in.clash(tx, n); err != nil {
		return err
	}
	return im.needsPerson(tx, n, in.Realm(), in.Subject)
}

// clash tells whether the session's id is another's in the store.
func (in *exportSession) clash(tx store.Tx, n int) error {
	old, err := session.Load(tx, in.ID)
	if err != nil {
		return err
	}
	if old != nil && (old.Subject != in.Subject || old.Audience != in.Audience) {
		return refuseLine(n, "its sid is another person's session here; take the line out")
	}
	return nil
}

func (k *exportKey) check(im *importer, _ store.Tx, n int) error {
	switch created := k.Created; {
	case created.IsZero() || created.After(im.Now().Add(keyring.ClockSkew)):
		return refuseLine(n, "created is missing or lies in the future")
	case im.Sessions.Revoked(created) && !im.Keys.Has(k.KeyRecord): // a key that was made as the others were revoked is in use
		return refuseLine(n, "the key was revoked here; take the line out")
	}
	switch known, opened := im.Keys.Check(k.KeyRecord); {
	case !known:
		return refuseLine(n, "alg is unknown")
	case !opened:
		return refuseLine(n, "this instance can't open the key: it was wrapped with another secret, or changed; write that secret after the current one (secret <new> <old>) and restart, or export without keys")
	}
	return nil
}
