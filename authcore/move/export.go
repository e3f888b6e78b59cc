package move

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// The lines of an export, one JSON object each. The first is an exportHead, the
// last an exportEnd, so that a file that was cut off is recognized.
const (
	lineHead       = "gatehouse"
	linePerson     = "person"
	lineSession    = "session"
	lineAppPerson  = "app_person"
	lineAppSession = "app_session"
	lineOrg        = "organization"
	lineMember     = "membership"
	lineInvite     = "invite"
	lineConsent    = "consent"
	linePairwise   = "pairwise"
	lineKey        = "key"
	lineEnd        = "end"
)

type exportHead struct {
	Type   string    `json:"type"`
	Format int       `json:"format"`
	At     time.Time `json:"at"`
}

type exportPerson struct {
	Type    string          `json:"type"`
	Subject string          `json:"sub"`
	Address address.Address `json:"email"`
	Name    string          `json:"name,omitempty"`
	Created time.Time       `json:"created,omitzero"`
}

type exportSession struct {
	Type string `json:"type"`
	session.Record
}

type exportKey struct {
	Type string `json:"type"`
	keyring.KeyRecord
}

type exportEnd struct {
	Type string `json:"type"`
	Exported
}

// Exported is how much was exported, by the type of the lines.
type Exported struct {
	People        int `json:"people"` // of the gates
	Sessions      int `json:"sessions"`
	AppPeople     int `json:"app_people"`
	AppSessions   int `json:"app_sessions"`
	Organizations int `json:"organizations"`
	Memberships   int `json:"memberships"`
	Invites       int `json:"invites"`
	Consents      int `json:"consents,omitempty"` // to apps of the OpenID provider
	Pairwise      int `json:"pairwise,omitempty"` // 1: what pairwise subjects come of
	Keys          int `json:"keys"`
}

// exportPage bounds how much is read at once.
const exportPage = 500

// Export writes the people of the gates and of all apps, their sessions, ended
// ones too, the organizations with members and invitations, and what people have
// agreed to with apps of the OpenID provider, as lines of JSON. With keys the signing keys follow, wrapped with the secret: whoever has
// them and the secret can sign in as anybody. Without them the cookies of the
// sessions are good for nothing at another instance. Tokens of apps' sessions
// are derived from the secret: they are good where the secret is, and are not in
// the lines.
//
// What is under way (codes, links, mail), what machines hold and counters are
// left out.
//
// It reads page by page while the instance goes on: what changes meanwhile may
// be in it or not.
func (m *Mover) Export(ctx context.Context, w io.Writer, keys bool) (Exported, error) {
	out := bufio.NewWriter(w)
	e := &exporter{Mover: m, w: json.NewEncoder(out), began: m.Now()}
	e.w.SetEscapeHTML(false)
	if err := e.run(ctx, keys); err != nil {
		return e.count, err
	}
	return e.count, out.Flush()
}

type exporter struct {
	*Mover
	w     *json.Encoder
	began time.Time
	count Exported
}

func (e *exporter) run(ctx context.Context, keys bool) error {
	if err := e.w.Encode(exportHead{lineHead, e.Format, e.began.UTC()}); err != nil {
		return err
	}
	if err := each(ctx, e, store.KeyPerson, e.person); err != nil {
		return err
	}
	if err := each(ctx, e, store.KeySession, e.session); err != nil {
		return err
	}
	if err := e.organizations(ctx); err != nil {
		return err
	}
	if err := each(ctx, e, store.KeyConsent, e.consent); err != nil {
		return err
	}
	if err := each(ctx, e, store.KeyPairwise, e.pairwise); err != nil {
		return err
	}
	if keys {
		if err := each(ctx, e, store.KeySigning, e.key); err != nil {
			return err
		}
	}
	return e.w.Encode(exportEnd{lineEnd, e.count})
}

// each calls one for every record whose key begins with prefix.
func each[T any](ctx context.Context, e *exporter, prefix string, one func(store.Tx, *T) error) error {
	for after := ""; ; {
		last, err := store.View(ctx, e.Store, func(tx store.Tx) (last string, err error) {
			items, err := tx.Scan(prefix, after, exportPage)
			for _, item := range items {
				record := new(T)
				if _, err := store.Decode(item.Key, item.Value, record); err != nil {
					return "", err
				}
				if err := one(tx, record); err != nil {
					return "", err
				}
			}
			if len(items) == exportPage {
				last = items[exportPage-1].Key
			}
			return last, err
		})
		if after = last; err != nil || after == "" {
			return err
		}
	}
}

func (e *exporter) person(_ store.Tx, p *person.Record) error {
	switch {
	case p.IsAccount():
		e.count.People++
		return e.w.Encode(exportPerson{linePerson, p.Subject, p.Address, p.Name, p.Created})
	case p.Profile != nil:
		e.count.AppPeople++
		return e.w.Encode(exportAppPerson{lineAppPerson, p.Subject, p.Realm, p.Name, p.Created, *p.Profile})
	}
	return nil
}

// owner returns the person of realm with subject sub, nil for none. Who came
// after their page was read is written now.
func (e *exporter) owner(tx store.Tx, realm person.Realm, sub string) (*person.Record, error) {
	p, err := apps.LoadPersonOf(tx, sub)
	if err != nil || p == nil || p.Realm != realm {
		return nil, err
	}
	if p.Created.After(e.began) {
		err = e.person(tx, p)
	}
	return p, err
}

func (e *exporter) session(tx store.Tx, r *session.Record) error {
	if r.Machine != nil {
		return nil // what a machine holds is known by its hash alone, and stays here
	}
	if p, err := e.owner(tx, r.Realm(), r.Subject); err != nil || p == nil {
		return err
	}
	if err := e.end(tx, r); err != nil {
		return err
	}
	if r.API != nil {
		e.count.AppSessions++
		return e.w.Encode(exportSession{lineAppSession, *r})
	}
	e.count.Sessions++
	return e.w.Encode(exportSession{lineSession, *r})
}

// end says in the record itself that its session has ended with another, or with
// all others: where it is imported nobody may know.
func (e *exporter) end(tx store.Tx, r *session.Record) error {
	up := *r
	stands, err := e.Sessions.Stands(tx, &up)
	if err != nil || stands != session.Ended || !r.EndedAt.IsZero() {
		return err
	}
	r.EndedAt, r.Reason = up.EndedAt, up.Reason
	if r.EndedAt.IsZero() {
		r.EndedAt, r.Reason = e.Now().UTC(), "keys_revoked"
	}
	return nil
}

func (e *exporter) key(_ store.Tx, r *keyring.KeyRecord) error {
	if r.IsRevoked() { // no other instance has it
		return nil
	}
	e.count.Keys++
	return e.w.Encode(exportKey{lineKey, *r})
}

// LineError says which line of an import is refused, and why. Nothing was
// changed, unless Applied says how many lines were before another sign-in came
// in between; importing the same file again goes on from there.
type LineError struct {
	Line    int // from 1
	Problem string
	Applied int
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }
