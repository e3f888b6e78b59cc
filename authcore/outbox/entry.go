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
	Secret  string     `json:"secret"`           // id of the secret that its Message-ID comes from
	Expires time.Time  `json:"expires"`          // when it is given up
	Share   string     `json:"share,omitempty"`  // whose part of Limits.Global it is from, empty for nobody's
	Known   bool       `json:"known,omitempty"`  // of a browser that had proved the address
	Held    *Hold      `json:"held,omitempty"`   // it waits for that part
	Maybe   []string   `json:"maybe,omitempty"`  // senders that got it and did not answer, one for each copy; empty: not known which
	Node    string     `json:"node,omitempty"`   // whose it is, of those that share the store
	Handed  bool       `json:"handed,omitempty"` // that node has handed it over, or will at once

	To     string `json:"-"` // address or number; empty where that is not known yet
	Unsent string `json:"-"` // why it is not sent, in one word: a decoy. Empty for what is
	ahead  bool   // it is one of those that were counted ahead
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
	secret, err := secrets.Find(e.Secret)
	if err != nil {
		secret = secrets.Current
	}
	return secret.MessageID(fmt.Sprintf("%s %d", e.key(), e.Queued.UnixNano()))
}

func (e *Entry) save(tx store.Tx) error {
	return store.Save(tx, e.key(), e, e.until())
}

// until is when it is given up.
func (e *Entry) until() time.Time {
	if e.Held != nil {
		return e.Held.Until
	}
	return e.Expires
}

// loadPage is how many entries are read at once.
const loadPage = 1000

// Load takes up what an earlier process left, or a node that is gone.
func (o *Outbox) Load(ctx context.Context) error {
	return o.load(ctx, map[string]bool{o.node(): true})
}

// load takes up what was left. Of nodes that are not in left it finds out whether they
// have left what is theirs.
func (o *Outbox) load(ctx context.Context, left map[string]bool) error {
	after := ""
	for {
		items, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) ([]store.Item, error) {
			return tx.Scan(store.KeyMail, after, loadPage)
		})
		if err != nil {
			return fmt.Errorf("reading the mail queue: %w", err)
		}
		if len(items) == 0 {
			return nil
		}
		for _, item := range items {
			var e Entry
			if _, err := store.Decode(item.Key, item.Value, &e); err != nil {
				return err
			}
			after = item.Key
			is, known := left[e.Node]
			if !known {
				if is, err = o.shared.Gone(ctx, e.Node); err != nil {
					return err
				}
				left[e.Node] = is
			}
			if is {
				o.takeUp(&e)
			}
		}
	}
}

// settle tells the news of a mail, and takes it out of the store if it is done,
// unless it was asked for again meanwhile. It does so also while the outbox stops:
// what was sent must not be sent again.
func (o *Outbox) settle(m *mail, done bool) error {
	m.telling.Lock()
	defer m.telling.Unlock()
	o.mu.Lock()
	news, unsaved, e, of := m.news, m.unsaved, m.Entry, Item{Ref: m.Ref, Log: m.log}
	o.mu.Unlock()
	if len(news) == 0 && !unsaved && !done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := o.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if done || unsaved {
			var is Entry
			if ok, err := store.Load(tx, m.name, &is); err != nil {
				return err
			} else if ok && is.Queued.Equal(e.Queued) && (done || is.Node == e.Node) {
				if err := e.change(tx, done); err != nil {
					return err
				}
			}
		}
		if len(news) == 0 {
			return nil
		}
		if err := o.remember(tx, m, news); err != nil {
			return err
		}
		return o.cfg.Tell(tx, of, news)
	})
	if err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		m.news, m.unsaved = m.news[len(news):], m.unsaved && !unsaved
	}
	return err
}

func (e *Entry) change(tx store.Tx, done bool) error {
	if done {
		tx.Delete(e.key())
		return nil
	}
	return e.save(tx)
}

// Sent is what a Message-ID stands for.
type Sent struct {
	MessageID string     `json:"message_id"`        // as the outbox gave it
	Renamed   string     `json:"renamed,omitempty"` // what the last sender put in its place
	Ref       string     `json:"ref"`               // of the Entry
	Kind      LetterKind `json:"kind,omitempty"`
	Log       string     `json:"log,omitempty"` // of the Item
	To        string     `json:"to,omitempty"`  // hash of the recipient
	Sender    string     `json:"sender"`        // who was given it last
	At        time.Time  `json:"at"`
	Until     time.Time  `json:"until"`
}

// sentLife is how long a Message-ID is remembered: servers give up long before.
const sentLife = 30 * 24 * time.Hour

// remember stores what the Message-IDs of a mail stand for. A sender that failed
// may have passed it on all the same; log and Ref never change.
func (o *Outbox) remember(tx store.Tx, m *mail, news []Try) error {
	for _, try := range news {
		if try.MessageID == "" || try.Failed != nil && try.Failed.Fault == SenderDown && !try.Failed.Maybe {
			continue
		}
		sent := Sent{
			MessageID: try.MessageID, Renamed: try.Renamed, Ref: m.Ref, Kind: m.Kind, Log: m.log, To: keyring.Hash(m.To),
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
