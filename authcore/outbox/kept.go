package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// keptLife is how long a sender's secret is kept that nobody has replaced:
// longer than any provider lets a refresh token lie.
const keptLife = 400 * 24 * time.Hour

// keptRecord is one secret of a sender, wrapped with the master key.
type keptRecord struct {
	Secret  string    `json:"secret"` // id of the secret that wraps it
	Wrapped []byte    `json:"wrapped"`
	Until   time.Time `json:"until"`
}

var errKept = errors.New("what a sender keeps in the store can't be unwrapped: the record was changed or the secret is not the one it was wrapped with")

// Keep replaces the secret that a sender keeps under name, such as a refresh
// token. It lies in the store wrapped with the master key.
func (o *Outbox) Keep(ctx context.Context, name, value string) error {
	key, current := store.KeySender+name, o.cfg.Secrets.Current
	r := keptRecord{current.ID(), current.Seal([]byte(value), key), o.cfg.Now().Add(keptLife)}
	return o.cfg.Store.Update(ctx, func(tx store.Tx) error { return store.Save(tx, key, r, r.Until) })
}

// Kept returns what a sender keeps under name, empty for nothing.
func (o *Outbox) Kept(ctx context.Context, name string) (string, error) {
	key := store.KeySender + name
	r, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) (r keptRecord, err error) {
		_, err = store.Load(tx, key, &r)
		return r, err
	})
	if err != nil || !o.cfg.Now().Before(r.Until) {
		return "", err
	}
	value, err := o.unwrap(key, r)
	return string(value), err
}

func (o *Outbox) unwrap(key string, r keptRecord) ([]byte, error) {
	secret, err := o.cfg.Secrets.Find(r.Secret)
	if err != nil {
		return nil, err
	}
	value, err := secret.Unseal(r.Wrapped, key)
	if err != nil {
		return nil, errKept
	}
	return value, nil
}

// Rewrap wraps with the current secret what was wrapped with an old one, so that
// the old one can be taken out of the configuration.
func (o *Outbox) Rewrap(ctx context.Context) error {
	items, err := store.View(ctx, o.cfg.Store, func(tx store.Tx) ([]store.Item, error) { return tx.Scan(store.KeySender, "", 1000) })
	if err != nil {
		return fmt.Errorf("reading what senders keep: %w", err)
	}
	for _, item := range items {
		var r keptRecord
		if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
			return err
		}
		if r.Secret == o.cfg.Secrets.Current.ID() {
			continue
		}
		value, err := o.unwrap(item.Key, r)
		if err != nil {
			return err
		}
		if err := o.Keep(ctx, item.Key[len(store.KeySender):], string(value)); err != nil {
			return err
		}
	}
	return nil
}
