package authcore

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// The mails of all people together are bounded by Limits.Global. Who would go
// over it is not told: the mail waits, as long as it may, so that neither one
// network stops all others nor a nearly used-up limit tells who may sign in.

// share names whose part of Limits.Global the mail of c is from: a network's, or
// that of all invitations. It is "" for what an app's server asks for: an app's
// own limits are those of its key.
func (c *challenge) share() string {
	switch {
	case c.API != nil && c.API.Invite != "":
		return "invitations"
	case c.API != nil && c.API.Server:
		return ""
	}
	return cmp.Or(c.Network, "unknown")
}

// hold is that a mail waits for its part of Limits.Global.
type hold struct {
	share string
	known bool
	wait  time.Duration // for the next try
	until time.Time     // when it is given up
}

// budget counts the mail of c at now, or holds it.
func (s *Service) budget(tx store.Tx, c *challenge, now time.Time) error {
	c.held = nil
	all := s.cfg.Limits.Mails(c.share(), c.Known)
	if err := all.Load(tx); err != nil {
		return err
	}
	wait := all.Wait(now)
	if wait <= 0 {
		all.Count(tx, now)
		return nil
	}
	until := now.Add(c.Expires.Sub(c.AskedAt) / 2)
	if until.After(c.Expires) {
		until = c.Expires
	}
	c.held = &hold{share: c.share(), known: c.Known, wait: wait, until: until}
	return nil
}

// spend is budget for the mail of a new challenge, which becomes a decoy when
// its mail could only be given up in the end.
func (s *Service) spend(tx store.Tx, c *challenge, now time.Time) error {
	err := s.budget(tx, c, now)
	if err == nil && c.held != nil && s.core.queue.isOverheld(c.share()) {
		c.Decoy, c.Over, c.held = true, true, nil
	}
	return err
}

// errHeld: the mail waits for its part of Limits.Global, or for others that are
// being sent.
var errHeld = errors.New("held back")

// claim counts a mail that was held as one to be sent now, or holds it and those
// that wait for the same on.
func (q *queue) claim(ctx context.Context, s *Service, m *mail, c *challenge) error {
	now := q.core.now()
	share, known := c.share(), m.held.known
	global := s.cfg.Limits.Mails(share, known)[:1]
	wait, byAll := time.Duration(0), false
	err := q.core.store.Update(ctx, func(tx store.Tx) error {
		all := s.cfg.Limits.Mails(share, known)
		if err := all.Load(tx); err != nil {
			return err
		}
		global[0].T = all[0].T
		if wait = all.Wait(now); wait > 0 {
			byAll = global.Wait(now) >= wait
			return nil
		}
		all.Count(tx, now)
		return store.Save(tx, m.key, mailRecord{Challenge: c.ID, Queued: now, Text: m.text}, c.Expires)
	})
	if err != nil {
		wait = max(wait, time.Second)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if wait <= 0 {
		m.held, m.expires = nil, c.Expires
		return nil
	}
	m.held.share = share
	for _, w := range q.waiting {
		if w == m || w.held != nil && !w.sending && w.held.known == known && (byAll || w.held.share == share) {
			w.due = now.Add(wait)
		}
	}
	return errHeld
}

// holds tells how many mails are held, in all and of one share.
func (q *queue) holds(share string) (all, its int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.waiting {
		if m.held == nil {
			continue
		}
		if all++; m.held.share == share {
			its++
		}
	}
	return all, its
}

// isOverheld tells whether one more mail of the share would not be held: it
// could only be given up in the end.
func (q *queue) isOverheld(share string) bool {
	all, its := q.holds(share)
	return all >= queueSize || share != "" && its >= queueSize/limit.NetworkShare
}
