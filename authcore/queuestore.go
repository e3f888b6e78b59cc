package authcore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// What the mail queue keeps in the store: which messages wait, and what became
// of them.

// mailRecord is one message that waits: a mail, or a text message. It holds no secret and no address: the
// mail is rebuilt from the challenge, so that sending again repeats the code.
type mailRecord struct {
	Challenge string     `json:"challenge"`
	Queued    time.Time  `json:"queued"`
	Kind      LetterKind `json:"kind,omitempty"` // empty: LetterSignIn
	Text      bool       `json:"text,omitempty"` // a text message
	Held      bool       `json:"held,omitempty"` // waits for its part of Limits.Global, and is given up when it expires
	Known     bool       `json:"known,omitempty"`
}

// mailKey orders mails by time. A mail queued again keeps its place.
func mailKey(c *challenge) string {
	return fmt.Sprintf("%s%016x-%s", store.KeyMail, c.AskedAt.UnixMilli(), c.ID)
}

// put stores the mail of a challenge, as part of the transaction that makes or
// repeats it. add must follow once that is committed.
func (q *queue) put(tx store.Tx, c *challenge) error {
	r := mailRecord{Challenge: c.ID, Queued: q.core.now(), Text: c.text()}
	if c.held != nil {
		r.Held, r.Known = true, c.held.known
		return store.Save(tx, mailKey(c), r, c.held.until)
	}
	return store.Save(tx, mailKey(c), r, c.Expires)
}

// load takes up what an earlier process left.
func (q *queue) load(ctx context.Context) error {
	var items []store.Item
	err := q.core.store.View(ctx, func(tx store.Tx) (err error) {
		items, err = tx.Scan(store.KeyMail, "", 2*queueSize) // as many may be held
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the mail queue: %w", err)
	}
	for _, item := range items {
		var r mailRecord
		if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
			return err
		}
		m := &mail{key: item.Key, challenge: r.Challenge, kind: r.Kind, due: q.core.now(), expires: item.Expires, text: r.Text}
		if r.Held {
			m.held = &hold{known: r.Known, until: item.Expires}
		}
		q.waiting = append(q.waiting, m)
	}
	return nil
}

// forget takes a mail out of the store, unless it was queued again meanwhile.
// It does so also while the queue stops: what was sent must not be sent again.
func (q *queue) forget(m *mail) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q.mu.Lock()
	again := false
	for _, w := range q.waiting {
		again = again || w.key == m.key
	}
	q.mu.Unlock()
	return q.core.store.Update(ctx, func(tx store.Tx) error {
		if !again {
			tx.Delete(m.key)
		}
		return q.tell(tx, m)
	})
}

// record writes the news of a mail that stays in the queue.
func (q *queue) record(m *mail) error {
	if len(m.news) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := q.core.store.Update(ctx, func(tx store.Tx) error { return q.tell(tx, m) })
	if err == nil {
		m.news = nil
	}
	return err
}

// tell adds the news of a mail to the history of its challenge. Mails that tell
// of a sign-in, and don't make one, have none.
func (q *queue) tell(tx store.Tx, m *mail) error {
	if len(m.news) == 0 || m.kind != "" {
		return nil
	}
	return q.core.changeHistory(tx, m.history, m.challenge, func(r *attemptRecord) {
		for _, step := range m.news {
			r.add(step)
		}
	})
}
