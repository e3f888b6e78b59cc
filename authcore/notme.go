package authcore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// pauseLifetime is how long an address gets no mail that an unknown browser
	// asked for, after its owner said "this wasn't me".
	pauseLifetime = 24 * time.Hour
	// notMeLifetime is how long a mail can be used to say so: long enough for
	// who reads mail on Monday, and not for ever.
	notMeLifetime = 72 * time.Hour

	keyPause = "pause/" // pause/<hash of address>: "this wasn't me", and accounts that were deleted

	// EventNotMe: somebody said that the mails were not asked for by them.
	EventNotMe = "not_me"
)

// pause is what an address's owner wished: the challenges asked for before it
// by other browsers are dead, and unknown browsers cause no mail for a while.
// Or it says that the owner's account is gone.
type pause struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	By    string    `json:"by,omitempty"` // hash of the flow cookie of the browser that said so
	// Deleted is when the account with this address was deleted: what was asked
	// for before, by whomever, is dead.
	Deleted time.Time `json:"deleted,omitzero"`
}

// NotMe takes the word of whoever holds token, from a mail to a, that the mail
// was not asked for by them: challenges of other browsers for a end, and for 24
// hours no mail is sent that a browser asks for that has not proved a. It
// reports whether token belongs to a mail to a; if not, nothing changes.
func (s *Service) NotMe(ctx context.Context, b Browser, token string, a Address) (bool, error) {
	now := s.core.now()
	if !s.core.secrets.isNotMe(token, a, now) {
		return false, nil
	}
	err := s.core.store.Update(ctx, func(tx Tx) error {
		flows, err := loadFlows(tx, b.Flow)
		if err != nil {
			return err
		}
		p, err := readPause(tx, a)
		if err != nil {
			return err
		}
		p.Since, p.Until, p.By = now, now.Add(pauseLifetime), flows.Browser
		return p.save(tx, a, now)
	})
	if err != nil {
		return false, err
	}
	s.observe(s.event(EventNotMe, b, a, ""))
	return true, nil
}

// loadPause reads the pause in force for a, nil for none.
func loadPause(tx Tx, a Address, now time.Time) (*pause, error) {
	p, err := readPause(tx, a)
	if err != nil || !now.Before(p.Until) {
		return nil, err
	}
	return p, nil
}

// readPause reads what is known of a, also when no pause is in force.
func readPause(tx Tx, a Address) (*pause, error) {
	p := &pause{}
	_, err := load(tx, keyPause+hashToken(a.String()), p)
	return p, err
}

// save keeps p for longer than any challenge that it ends.
func (p *pause) save(tx Tx, a Address, now time.Time) error {
	return save(tx, keyPause+hashToken(a.String()), p, now.Add(pauseLifetime))
}

// ends tells whether c is dead: its address's owner did not ask for it, or is
// gone.
func (p *pause) ends(c *challenge, now time.Time) bool {
	return now.Before(p.Until) && !c.AskedAt.After(p.Since) && c.Browser != p.By || !c.AskedAt.After(p.Deleted)
}

// endChallenges ends the challenges for a, whose account is being deleted.
func endChallenges(tx Tx, a Address, now time.Time) error {
	p, err := readPause(tx, a)
	if err != nil {
		return err
	}
	p.Deleted = now
	return p.save(tx, a, now)
}

// loadOpen is loadChallenge for whoever means to answer it or send its mail: one
// that died with its contact is none, and one of a gate that its address's owner
// did not ask for, or whose account is gone, is locked.
func loadOpen(tx Tx, id string, now time.Time) (*challenge, error) {
	c, err := loadChallenge(tx, id)
	if err != nil || c == nil {
		return nil, err
	}
	if c.API != nil {
		p, err := c.holder(tx)
		if err != nil || p == nil {
			return nil, err
		}
		return c, nil
	}
	p, err := readPause(tx, c.Address)
	if err != nil {
		return nil, err
	}
	c.Locked = c.Locked || p.ends(c, now)
	return c, nil
}

// notMeFor derives the token for "this wasn't me" in a mail to a. It stands in
// no record: whoever uses it types the address, and both together verify.
func (s Secret) notMeFor(a Address, at time.Time) string {
	token := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(token, s.notMeMAC(a, token)...))
}

func (s Secret) notMeMAC(a Address, at []byte) []byte {
	mac := hmac.New(sha256.New, s.notMe)
	mac.Write(at)
	mac.Write([]byte(a.String()))
	return mac.Sum(nil)[:16]
}

func (s Secrets) isNotMe(token string, a Address, now time.Time) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 8+16 || a.IsZero() {
		return false
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0))
	if age > notMeLifetime || age < -clockSkew {
		return false
	}
	for _, secret := range append([]Secret{s.Current}, s.Old...) {
		if hmac.Equal(secret.notMeMAC(a, raw[:8]), raw[8:]) {
			return true
		}
	}
	return false
}
