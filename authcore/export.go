package authcore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// The lines of an export, one JSON object each. The first is an exportHead, the
// last an exportEnd, so that a file that was cut off is recognized.
const (
	lineHead    = "gatehouse"
	linePerson  = "person"
	lineSession = "session"
	lineKey     = "key"
	lineEnd     = "end"
)

type exportHead struct {
	Type   string    `json:"type"`
	Format int       `json:"format"`
	At     time.Time `json:"at"`
}

type exportPerson struct {
	Type    string    `json:"type"`
	Subject string    `json:"sub"`
	Address Address   `json:"email"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

type exportSession struct {
	Type string `json:"type"`
	sessionRecord
}

type exportKey struct {
	Type string `json:"type"`
	keyRecord
}

type exportEnd struct {
	Type string `json:"type"`
	Exported
}

// Exported is how much was exported.
type Exported struct {
	People   int `json:"people"`
	Sessions int `json:"sessions"`
	Keys     int `json:"keys"`
}

// exportPage bounds how much is read at once.
const exportPage = 500

// Export writes the accounts and their sessions, ended ones too, as lines of
// JSON. With keys the signing keys follow, wrapped with the secret: whoever has
// them and the secret can sign in as anybody. Without them the cookies of the
// sessions are good for nothing at another instance.
//
// It reads page by page while the instance goes on: what changes meanwhile may
// be in it or not.
func (c *Core) Export(ctx context.Context, w io.Writer, keys bool) (Exported, error) {
	out := bufio.NewWriter(w)
	e := &exporter{core: c, w: json.NewEncoder(out), began: c.now()}
	e.w.SetEscapeHTML(false)
	if err := e.run(ctx, keys); err != nil {
		return e.count, err
	}
	return e.count, out.Flush()
}

type exporter struct {
	core  *Core
	w     *json.Encoder
	began time.Time
	count Exported
}

func (e *exporter) run(ctx context.Context, keys bool) error {
	if err := e.w.Encode(exportHead{lineHead, format, e.began.UTC()}); err != nil {
		return err
	}
	if err := e.each(ctx, keyPerson, e.person); err != nil {
		return err
	}
	if err := e.each(ctx, keySession, e.session); err != nil {
		return err
	}
	if keys {
		if err := e.each(ctx, keySigning, e.key); err != nil {
			return err
		}
	}
	return e.w.Encode(exportEnd{lineEnd, e.count})
}

// each calls one for every record whose key begins with prefix.
func (e *exporter) each(ctx context.Context, prefix string, one func(Tx, Item) error) error {
	for after := ""; ; {
		n := 0
		err := e.core.store.View(ctx, func(tx Tx) error {
			items, err := tx.Scan(prefix, after, exportPage)
			if err != nil {
				return err
			}
			for _, item := range items {
				after = item.Key
				if err := one(tx, item); err != nil {
					return err
				}
			}
			n = len(items)
			return nil
		})
		if err != nil || n < exportPage {
			return err
		}
	}
}

func (e *exporter) person(_ Tx, item Item) error {
	p := &person{}
	if _, err := decode(item.Key, item.Value, p); err != nil || !p.isAccount() {
		return err
	}
	return e.writePerson(p)
}

func (e *exporter) writePerson(p *person) error {
	e.count.People++
	return e.w.Encode(exportPerson{linePerson, p.Subject, p.Address, p.Name, p.Created})
}

func (e *exporter) session(tx Tx, item Item) error {
	r := &sessionRecord{}
	if _, err := decode(item.Key, item.Value, r); err != nil || r.Machine != nil {
		return err // what a machine holds is known by its hash alone, and stays here
	}
	p, err := loadPerson(tx, r.Subject)
	if err != nil || p == nil || !p.isAccount() {
		return err
	}
	if p.Created.After(e.began) { // they may have come after their page
		if err := e.writePerson(p); err != nil {
			return err
		}
	}
	if r.EndedAt.IsZero() && e.core.revoked(r.AuthTime) {
		r.EndedAt, r.Reason = time.Unix(0, e.core.revokedAt.Load()).UTC(), "keys_revoked"
	}
	e.count.Sessions++
	return e.w.Encode(exportSession{lineSession, *r})
}

func (e *exporter) key(_ Tx, item Item) error {
	r := keyRecord{}
	if _, err := decode(item.Key, item.Value, &r); err != nil {
		return err
	}
	e.count.Keys++
	return e.w.Encode(exportKey{lineKey, r})
}

// ImportError says which line of an import is refused, and why. Nothing was
// changed, unless Applied says how many lines were before another sign-in came
// in between; importing the same file again goes on from there.
type ImportError struct {
	Line    int // from 1
	Problem string
	Applied int
}

func (e *ImportError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }
