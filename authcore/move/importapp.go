package move

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func isOfApp(r person.Realm) bool { return apps.IsID(r.App) }

const problemRealm = "realm is missing or not an app's id with /live or /test after it"

func (in *exportAppPerson) person() *person.Record {
	f := in.Profile
	p := &person.Record{Subject: in.Subject, Name: in.Name, Created: in.Created, Realm: in.Realm, Profile: &f}
	p.Choose()
	return p
}

func (in *exportAppPerson) problem(now time.Time) string {
	texts := []string{in.Name, in.External, in.Plan, in.Names.First, in.Names.Middle, in.Names.Last}
	email := func(v string) bool { a, err := address.Parse(v); return err == nil && a.String() == v }
	phone := func(v string) bool { n, err := address.ParsePhone(v); return err == nil && n.String() == v }
	switch {
	case !keyring.IsID(in.Subject):
		return "sub is missing or not 27 letters and digits"
	case !isOfApp(in.Realm):
		return problemRealm
	case in.Tenure != "" && !keyring.IsID(in.Tenure):
		return "tenure is not 27 letters and digits"
	case in.Created.After(now.Add(keyring.ClockSkew)) || in.Updated.After(now.Add(keyring.ClockSkew)):
		return "created or updated lies in the future"
	case slices.ContainsFunc(texts, func(s string) bool { return len(s) > person.MaxName }):
		return "a name, external or plan is too long"
	case !areContacts(in.Emails, email):
		return "emails has more than 20, or one without an id of 27 letters and digits, or that is no address as it is stored here"
	case !areContacts(in.Phones, phone):
		return "phones has more than 20, or one without an id of 27 letters and digits, or that is no number as in +14155550123"
	case len(in.Metadata) > 0 && !bytes.HasPrefix(in.Metadata, []byte("{")):
		return "metadata is not a JSON object"
	}
	if !store.Fits(in.person()) {
		return "the person is larger than a record may be"
	}
	return ""
}

func areContacts(list []person.Contact, valid func(string) bool) bool {
	return len(list) <= person.MaxContacts && !slices.ContainsFunc(list, func(c person.Contact) bool { return !keyring.IsID(c.ID) || !valid(c.Value) })
}

func (in *exportAppPerson) check(im *importer, tx store.Tx, n int) error {
	if problem := in.problem(im.Now()); problem != "" {
		return refuseLine(n, "%s", problem)
	}
	if !im.seen.claim(store.KeyPerson+in.Subject, in.Realm.String()) {
		return refuseLine(n, "another line gives the same sub to a person of the gates or of another app")
	}
	for _, entry := range in.person().Entries() {
		if !im.seen.claim(entry, in.Subject) {
			return refuseLine(n, "another line gives one of its emails, phones, their ids or external to another person")
		}
	}
	_, _, err := in.meet(tx, n)
	return err
}

// meet returns the person of the line and who is here, nil for nobody, unless they
// contradict each other, or the line somebody else here.
func (in *exportAppPerson) meet(tx store.Tx, n int) (p, old *person.Record, err error) {
	p = in.person()
	if old, err = person.Load(tx, in.Subject); err != nil {
		return nil, nil, err
	}
	if old != nil {
		if old.Realm != in.Realm || old.Profile == nil {
			return nil, nil, refuseLine(n, "its sub is another person's here; take the line out, with that person's sessions and memberships")
		}
		for _, c := range p.Contacts() {
			if held := old.Held(c.ID); held != nil && held.Value != c.Value {
				return nil, nil, refuseLine(n, "it gives the id of one of its emails or phones another value; what takes the place of a contact has an id of its own")
			}
		}
		if err := merge(tx, p, old); err != nil {
			return nil, nil, err
		}
	}
	for _, entry := range p.Entries() {
		other, err := person.PersonAt(tx, in.Realm, entry)
		if err != nil {
			return nil, nil, err
		}
		if other != nil && other.Subject != in.Subject {
			return nil, nil, refuseLine(n, "one of its emails, phones, their ids or external is another person's here, with the sub %s; delete that person first (gatehouse users %[1]s --delete), or take the line out with that person's sessions and memberships", other.Subject)
		}
	}
	return p, old, nil
}

// merge takes from p the contacts that are gone from the person here. A line that has
// one was written where nobody had heard of that, nor of what was added here since,
// which stays.
func merge(tx store.Tx, p, here *person.Record) error {
	gone, since := map[string]bool{}, time.Time{}
	for _, c := range p.Contacts() {
		at, err := person.GoneAt(tx, p.Subject, c.ID)
		if err != nil {
			return err
		}
		if gone[c.ID] = !at.IsZero(); gone[c.ID] && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	if since.IsZero() {
		return nil
	}
	both := func(line, here []person.Contact) (out []person.Contact) {
		for _, c := range here {
			if i := slices.IndexFunc(line, func(l person.Contact) bool { return l.ID == c.ID }); i >= 0 {
				out = append(out, line[i])
			} else if !c.Created.Before(since) {
				out = append(out, c)
			}
		}
		for _, c := range line {
			if !gone[c.ID] && !slices.ContainsFunc(out, func(o person.Contact) bool { return o.Value == c.Value }) {
				out = append(out, c)
			}
		}
		return out
	}
	f := p.Profile
	f.Emails, f.Phones, f.Tenure = both(f.Emails, here.Profile.Emails), both(f.Phones, here.Profile.Phones), here.Profile.Tenure
	p.Choose()
	return nil
}

// apply adds a person, or takes the line over if it is newer.
func (in *exportAppPerson) apply(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	p, old, err := in.meet(tx, n)
	if err != nil {
		return nil, err
	}
	switch {
	case old == nil && p.Created.IsZero():
		p.Created = im.Now()
	case old != nil && !p.Profile.Updated.After(old.Profile.Updated):
		done.Unchanged++
		return nil, nil
	case old != nil:
		p.Created, p.Ended = old.Created, old.Ended
		if old.Profile.Asked.IsZero() { // the app has said more of them here
			p.Profile.Asked = time.Time{}
		}
		if known := old.Profile.Tenure; p.Profile.Tenure == "" || p.Profile.Tenure == known {
			p.Profile.Tenure = known
			p.Pass(old.Contacts(), im.Now())
		}
		if err := old.Leave(tx, p, p.Profile.Updated); err != nil {
			return nil, err
		}
	}
	done.AppPeople++
	p.Profile.Updated = slices.MaxFunc([]time.Time{p.Created, p.Profile.Updated}, time.Time.Compare)
	return nil, p.SaveAll(tx)
}

// problemForApp is problem for what only sessions of apps have.
func problemForApp(r *session.Record) string {
	a := r.API
	proof := func(f session.Factor) bool {
		return store.IsKeyPart(f.Contact) && (f.Method == "code" || f.Method == "link")
	}
	switch {
	case !keyring.IsID(r.ID) || !keyring.IsID(r.Subject):
		return "sid or sub is not 27 letters and digits"
	case !isOfApp(a.Realm):
		return problemRealm
	case r.Audience != "app:"+a.Realm.String():
		return "aud is not app: and the realm"
	case r.Expires.Before(r.AuthTime):
		return "expires is missing or before auth_time"
	case !store.IsKeyPart(a.Secret) || a.Form != session.TokenAlnum && a.Form != session.TokenHex:
		return "secret is missing, or form is neither alnum nor hex"
	case slices.ContainsFunc(a.Factors, func(f session.Factor) bool { return !proof(f) }):
		return "one of the factors has no contact, or a method that is neither code nor link"
	case len(a.Factors) == 0:
		return "factors is empty: a session rests on something that was proved"
	case a.Org != "" && !keyring.IsID(a.Org):
		return "org is not 27 letters and digits"
	}
	return ""
}

// applyToApp adds a session of an app, or takes the line over if it is newer.
// Its token is good here as soon as the secret that it comes from is known.
func (in *exportSession) applyToApp(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	if err := in.clash(tx, n); err != nil {
		return nil, err
	}
	old, err := session.Load(tx, in.ID)
	if err != nil {
		return nil, err
	}
	found := true
	if old != nil {
		if found, err = im.Apps.FindsToken(tx, old); err != nil {
			return nil, err
		}
	}
	switch {
	case old == nil, old.EndedAt.IsZero() && in.EndedAt.IsZero() && (!found || in.API.Updated.After(old.API.Updated)):
		done.AppSessions++
		return nil, im.Apps.SaveAppSession(tx, &in.Record)
	case !old.EndedAt.IsZero() || in.EndedAt.IsZero():
		done.Unchanged++
		return nil, nil
	}
	done.AppSessions++
	return im.Sessions.EndIn(tx, in.ID, cmp.Or(in.Reason, "imported"), nil)
}
