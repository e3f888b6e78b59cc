package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Entry is a message in the outbox. It holds no secret, and in the store no
// address: the letter is rebuilt from Ref, so that sending again repeats what
// was sent.
type Entry struct {
	Ref     string     `json:"ref"`            // what it is about: the id of a challenge
	Kind    LetterKind `json:"kind,omitempty"` // empty: LetterSignIn, or what the challenge says
	Text    bool       `json:"text,omitempty"` // a text message
	At      time.Time  `json:"at"`             // its place in the queue, with Ref; the same again keeps it
	Queued  time.Time  `json:"queued"`
	Secret  string     `json:"secret"`          // id of the secret that its Message-ID comes from
	Expires time.Time  `json:"expires"`         // when it is given up
	Share   string     `json:"share,omitempty"` // whose part of Limits.Global it is from, empty for nobody's
	Known   bool       `json:"known,omitempty"` // of a browser that had proved the address
	Held    *Hold      `json:"held,omitempty"`  // it waits for that part

	To    string `json:"-"` // address or number; empty where that is not known yet
	Decoy bool   `json:"-"` // not sent, and never a reason to think that mail is down
}

// key orders entries by time. One that is queued again keeps its place.
func (e *Entry) key() string {
	key := fmt.Sprintf("%s%016x-%s", store.KeyMail, e.At.UnixMilli(), e.Ref)
	if e.Kind != "" {
		key += "-" + string(e.Kind)
	}
	return key
}

// messageID is the first part of the entry's Message-ID: the same at every try, by
// every sender and after a restart, and another one when it is queued again,
// because mailboxes drop what they have already.
func (e *Entry) messageID(secrets keyring.Secrets) string {
	secret, ok := secrets.Find(e.Secret)
	if !ok {
		secret = secrets.Current
	}
	return secret.MessageID(fmt.Sprintf("%s %d", e.key(), e.Queued.UnixNano()))
}

func (e *Entry) save(tx store.Tx) error {
	until := e.Expires
	if e.Held != nil {
		until = e.Held.Until
	}
	return store.Save(tx, e.key(), e, until)
}

// Load takes up what an earlier process left.
func (o *Outbox) Load(ctx context.Context) error {
	items, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) ([]store.Item, error) {
		return tx.Scan(store.KeyMail, "", 2*queueSize) // as many may be held
	})
	if err != nil {
		return fmt.Errorf("reading the mail queue: %w", err)
	}
	for _, item := range items {
		m := &mail{due: o.cfg.Now()}
		if _, err := store.Decode(item.Key, item.Value, &m.Entry); err != nil {
			return err
		}
		o.waiting = append(o.waiting, m)
	}
	return nil
}

// forget takes a mail out of the store, unless it was queued again meanwhile,
// and tells what came of it. It does so also while the outbox stops: what was
// sent must not be sent again.
func (o *Outbox) forget(m *mail) error {
	o.mu.Lock()
	again := false
	for _, w := range o.waiting {
		again = again || w.key() == m.key()
	}
	o.mu.Unlock()
	return o.settle(m, !again)
}

// settle tells the news of a mail, and takes it out of the store if it is done.
func (o *Outbox) settle(m *mail, done bool) error {
	if len(m.news) == 0 && !done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := o.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if done {
			tx.Delete(m.key())
		}
		if len(m.news) == 0 {
			return nil
		}
		if err := o.remember(tx, m); err != nil {
			return err
		}
		return o.cfg.Tell(tx, *m.item, m.news)
	})
	if err == nil {
		m.news = nil
	}
	return err
}

// Sent is what a Message-ID stands for.
type Sent struct {
	MessageID string     `json:"message_id"`        // as the outbox gave it
	Renamed   string     `json:"renamed,omitempty"` // what the last sender put in its place
	Ref       string     `json:"ref"`               // of the Entry
	Kind      LetterKind `json:"kind,omitempty"`
	Log       string     `json:"log,omitempty"` // of the Item
	Sender    string     `json:"sender"`        // who was given it last
	At        time.Time  `json:"at"`
	Until     time.Time  `json:"until"`
}

// sentLife is how long a Message-ID is remembered: servers give up long before.
const sentLife = 30 * 24 * time.Hour

// remember stores what the Message-IDs of a mail stand for. A sender that failed
// may have passed it on all the same.
func (o *Outbox) remember(tx store.Tx, m *mail) error {
	for _, try := range m.news {
		if try.MessageID == "" || try.Failed != nil && try.Failed.Fault == SenderDown {
			continue
		}
		sent := Sent{
			MessageID: try.MessageID, Renamed: try.Renamed, Ref: m.Ref, Kind: m.Kind, Log: m.item.Log,
			Sender: try.Sender, At: try.At, Until: try.At.Add(sentLife),
		}
		for _, id := range []string{try.MessageID, try.Renamed} {
			if id == "" {
				continue
			}
			if err := store.Save(tx, sentKey(id), sent, sent.Until); err != nil {
				return err
			}
		}
	}
	return nil
}

func sentKey(messageID string) string { return store.KeySent + keyring.Hash(messageID) }

// Sent returns what the mail with this Message-ID, the outbox's or a sender's own,
// was about; nil if there was none within 30 days.
func (o *Outbox) Sent(ctx context.Context, messageID string) (*Sent, error) {
	sent, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) (s Sent, err error) {
		_, err = store.Load(tx, sentKey(messageID), &s)
		return s, err
	})
	if err != nil || !o.cfg.Now().Before(sent.Until) {
		return nil, err
	}
	return &sent, nil
}
