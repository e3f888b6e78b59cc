package authcore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// keySender is what senders keep: sender/<name>.
const keySender = "sender/"

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
func (c *Core) Keep(ctx context.Context, name, value string) error {
	key, current := keySender+name, c.secrets.Current
	r := keptRecord{current.ID(), current.Seal([]byte(value), key), c.now().Add(keptLife)}
	return c.store.Update(ctx, func(tx store.Tx) error { return store.Save(tx, key, r, r.Until) })
}

// Kept returns what a sender keeps under name, empty for nothing.
func (c *Core) Kept(ctx context.Context, name string) (string, error) {
	var r keptRecord
	var known bool
	err := c.store.View(ctx, func(tx store.Tx) (err error) {
		known, err = store.Load(tx, keySender+name, &r)
		return err
	})
	if err != nil || !known || !c.now().Before(r.Until) {
		return "", err
	}
	value, err := c.unwrapKept(keySender+name, r)
	return string(value), err
}

func (c *Core) unwrapKept(key string, r keptRecord) ([]byte, error) {
	secret, ok := c.secrets.Find(r.Secret)
	if !ok {
		return nil, keyring.ErrWrongSecret
	}
	value, err := secret.Unseal(r.Wrapped, key)
	if err != nil {
		return nil, errKept
	}
	return value, nil
}

// rewrapKept wraps with the current secret what was wrapped with an old one, so
// that the old one can be taken out of the configuration.
func (c *Core) rewrapKept(ctx context.Context) error {
	var items []store.Item
	err := c.store.View(ctx, func(tx store.Tx) (err error) {
		items, err = tx.Scan(keySender, "", 1000)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading what senders keep: %w", err)
	}
	for _, item := range items {
		var r keptRecord
		if _, err := store.Decode(item.Key, item.Value, &r); err != nil {
			return err
		}
		if r.Secret == c.secrets.Current.ID() {
			continue
		}
		value, err := c.unwrapKept(item.Key, r)
		if err != nil {
			return err
		}
		if err := c.Keep(ctx, item.Key[len(keySender):], string(value)); err != nil {
			return err
		}
	}
	return nil
}
