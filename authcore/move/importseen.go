package move

import (
	"crypto/sha256"

	"github.com/gatehouse-auth/gatehouse/authcore/organization"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// importSeen is what a file has said so far. It keeps hashes, so that a file of
// many people needs little memory: two of 16 bytes for each thing that must be
// unique.
type importSeen struct {
	claims map[digest]digest // what must be unique → whose it is
	wanted map[want]int      // what a line needs and no line before it gave → that line
	owners map[digest]int    // how many owners an organization has in the file
}

type digest [16]byte

type want struct {
	key, value digest
	person     bool // else: an organization
}

func digestOf(text string) digest {
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:16])
}

func newImportSeen() *importSeen {
	return &importSeen{claims: map[digest]digest{}, wanted: map[want]int{}, owners: map[digest]int{}}
}

// claim notes that key is value's, and tells whether no line before said
// otherwise.
func (s *importSeen) claim(key, value string) bool {
	k, v := digestOf(key), digestOf(value)
	old, known := s.claims[k]
	s.claims[k] = v
	return !known || old == v
}

// needsPerson notes that line n is about a person of realm, who may be in the
// store or in any line.
func (im *importer) needsPerson(tx store.Tx, n int, realm person.Realm, sub string) error {
	return im.seen.need(n, want{digestOf(store.KeyPerson + sub), digestOf(realm.String()), true}, func() (bool, error) {
		p, err := person.Load(tx, sub)
		return p != nil && p.Realm == realm, err
	})
}

// needsOrg is needsPerson for an organization.
func (im *importer) needsOrg(tx store.Tx, n int, realm person.Realm, org string) error {
	return im.seen.need(n, want{digestOf(store.KeyOrg + org), digestOf(realm.String()), false}, func() (bool, error) {
		o, err := organization.LoadOrg(tx, realm, org)
		return o != nil, err
	})
}

func (s *importSeen) need(n int, w want, stored func() (bool, error)) error {
	if s.claims[w.key] == w.value {
		return nil
	}
	if _, known := s.wanted[w]; known {
		return nil
	}
	there, err := stored()
	if err == nil && !there {
		s.wanted[w] = n
	}
	return err
}

// missing refuses the first line that needs what is nowhere.
func (s *importSeen) missing() error {
	first, person := 0, false
	for w, n := range s.wanted {
		if s.claims[w.key] != w.value && (first == 0 || n < first) {
			first, person = n, w.person
		}
	}
	switch {
	case first == 0:
		return nil
	case person:
		return refuseLine(first, "it is about somebody who is neither in the file nor here, or of another app")
	}
	return refuseLine(first, "it is about an organization that is neither in the file nor here, or of another app")
}

func (p *exportPerson) gone(tx store.Tx) (bool, error) { return person.AreGone(tx, p.Subject) }

func (in *exportAppPerson) gone(tx store.Tx) (bool, error) { return person.AreGone(tx, in.Subject) }

func (in *exportSession) gone(tx store.Tx) (bool, error) { return person.AreGone(tx, in.Subject) }

func (in *exportOrg) gone(tx store.Tx) (bool, error) { return person.AreGone(tx, in.ID) }

// gone: also when the address was taken from somebody since the invitation was sent.
func (in *exportInvite) gone(tx store.Tx) (bool, error) {
	if gone, err := person.AreGone(tx, in.Org); gone || err != nil {
		return gone, err
	}
	span, err := person.LoadSpan(tx, in.Realm, in.Email.String())
	return !span.Since.Before(in.Expires.Add(-organization.InviteLifetime)), err
}

func (*exportKey) gone(store.Tx) (bool, error) { return false, nil }

// gone: who was taken out may have come in again since, elsewhere.
func (in *exportMember) gone(tx store.Tx) (bool, error) {
	if gone, err := person.AreGone(tx, in.Org, in.Subject); gone || err != nil {
		return gone, err
	}
	at, err := person.GoneAt(tx, in.Org, in.Subject)
	return !at.IsZero() && !at.Before(in.Since), err
}
