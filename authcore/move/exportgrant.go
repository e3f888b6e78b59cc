package move

import (
	"bytes"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Of what apps of the OpenID provider hold, two things outlive a move: what
// people have agreed to, and what their pairwise subjects come of. Without that
// everybody would be somebody else to an app. Codes and tokens stay behind.

type exportConsent struct {
	Type string `json:"type"`
	grant.Consent
}

type exportPairwise struct {
	Type string `json:"type"`
	grant.Salt
}

func (e *exporter) consent(_ store.Tx, c *grant.Consent) error {
	if !c.IsGiven() {
		return nil // it stops codes of this instance, for an hour
	}
	e.count.Consents++
	return e.w.Encode(exportConsent{lineConsent, *c})
}

func (e *exporter) pairwise(_ store.Tx, salt *grant.Salt) error {
	e.count.Pairwise++
	return e.w.Encode(exportPairwise{linePairwise, *salt})
}

func (in *exportConsent) gone(tx store.Tx) (bool, error) { return person.AreGone(tx, in.Subject) }

func (in *exportConsent) check(_ *importer, _ store.Tx, n int) error {
	if !store.IsKeyPart(in.Subject) || !apps.IsID(in.Client) {
		return refuseLine(n, "sub or client is missing, or is none")
	}
	return nil
}

func (in *exportConsent) apply(_ *importer, tx store.Tx, _ int, done *Imported) (*session.Ending, error) {
	key := store.KeyConsent + in.Subject + "/" + in.Client
	if known, err := store.Load(tx, key, &grant.Consent{}); err != nil || known {
		done.Unchanged++ // what was said here since counts
		return nil, err
	}
	done.Consents++
	return nil, store.Save(tx, key, in.Consent, time.Time{})
}

func (*exportPairwise) gone(store.Tx) (bool, error) { return false, nil }

func (in *exportPairwise) check(_ *importer, tx store.Tx, n int) error {
	var known grant.Salt
	ok, err := store.Load(tx, store.KeyPairwise, &known)
	switch {
	case err != nil:
		return err
	case len(in.Salt.Salt) < 32:
		return refuseLine(n, "salt is missing or too short")
	case ok && !bytes.Equal(known.Salt, in.Salt.Salt):
		return refuseLine(n, "this instance has told apps of pairwise subjects of its own already; import into an instance where nobody has signed in to such an app, or take the line out, and people are new to these apps")
	}
	return nil
}

func (in *exportPairwise) apply(_ *importer, tx store.Tx, _ int, done *Imported) (*session.Ending, error) {
	if known, err := store.Load(tx, store.KeyPairwise, &grant.Salt{}); err != nil || known {
		done.Unchanged++
		return nil, err
	}
	done.Pairwise++
	return nil, store.Save(tx, store.KeyPairwise, in.Salt, time.Time{})
}
