package authcore

import (
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// compose rebuilds a mail about a challenge.
func (s *Service) compose(c *challenge, kind LetterKind) (Message, error) {
	letter := Letter{
		Kind: kind, To: c.Address, Site: c.Origin, Language: c.Language,
		AskedAt: c.AskedAt, Agent: c.Agent, Network: c.Network,
		Thread: strings.ToLower(keyring.RandomToken(12)),
	}
	if kind == LetterNewDevice {
		at := c.Origin
		if s.cfg.AccountAt != nil {
			at = s.cfg.AccountAt(at)
		}
		letter.Link = at.String() + "/_gatehouse/account"
		return s.cfg.Composer.Compose(letter)
	}
	secret, ok := s.core.secrets.Find(c.Secret)
	if !ok {
		return Message{}, fmt.Errorf("challenge made with secret %s, which is not configured any more", c.Secret)
	}
	if c.API != nil {
		return s.composeAPI(c, secret)
	}
	letter.Lifetime = c.Expires.Sub(c.AskedAt)
	letter.Link = c.Origin.String() + "/_gatehouse/link/" + secret.LinkFor(c.ID)
	letter.NotMe = c.Origin.String() + "/_gatehouse/not-me/" + secret.NotMeFor(c.Address, c.AskedAt)
	if !c.LinkOnly {
		letter.Code = secret.CodeFor(c.ID, c.Digits)
	}
	message, err := s.cfg.Composer.Compose(letter)
	message.Code, message.Link = letter.Code, letter.Link
	return message, err
}

// noticeKey orders notices among the mails.
func noticeKey(c *challenge) string { return mailKey(c) + "-notice" }

// putNotice stores the mail that tells a person of a sign-in in a browser that
// was not seen before. Like every mail it holds no secret and no address.
func (q *queue) putNotice(tx store.Tx, c *challenge) error {
	r := mailRecord{Challenge: c.ID, Queued: q.core.now(), Kind: LetterNewDevice}
	return store.Save(tx, noticeKey(c), r, c.Kept)
}

// addNotice has the notice sent, once it is committed.
func (q *queue) addNotice(c *challenge) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, &mail{key: noticeKey(c), challenge: c.ID, to: c.Address.String(), kind: LetterNewDevice, due: q.core.now(), expires: c.Kept})
	q.wake()
}

// isUnseen tells whether a person who was here before signs in with a browser
// that has not proved the address. It is asked before the browser is remembered.
func (t *attempt) isUnseen(p *person) (bool, error) {
	if t.isNew(p) {
		return false, nil // the first sign-in of all is no news
	}
	d, err := loadDevice(t.tx, t.b.Device)
	return err == nil && !d.knows(p.Address), err
}
