package authcore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// key orders entries by time. One that is queued again keeps its place.
func (e *Entry) key() string {
	key := fmt.Sprintf("%s%016x-%s", store.KeyMail, e.At.UnixMilli(), e.Ref)
	if e.Kind != "" {
		key += "-" + string(e.Kind)
	}
	return key
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
	items, err := store.View(ctx, o.Store, func(tx store.Tx) ([]store.Item, error) {
		return tx.Scan(store.KeyMail, "", 2*queueSize) // as many may be held
	})
	if err != nil {
		return fmt.Errorf("reading the mail queue: %w", err)
	}
	for _, item := range items {
		m := &mail{due: o.Now()}
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
	err := o.Store.Update(ctx, func(tx store.Tx) error {
		if done {
			tx.Delete(m.key())
		}
		if len(m.news) == 0 {
			return nil
		}
		return o.Tell(tx, *m.item, m.news)
	})
	if err == nil {
		m.news = nil
	}
	return err
}
