package authcore_test

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// counting is a store that counts what costs a store behind a network a round
// trip: reads in a transaction, and updates that write.
type counting struct {
	store.Store
	mu      sync.Mutex
	reads   []string // the keys of each Get, since the last reset
	updates int
}

func (c *counting) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads, c.updates = nil, 0
}

func (c *counting) View(ctx context.Context, fn func(store.Tx) error) error {
	tx := &countingTx{}
	err := c.Store.View(ctx, func(inner store.Tx) error {
		*tx = countingTx{Tx: inner}
		return fn(tx)
	})
	c.add(tx)
	return err
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	tx := &countingTx{}
	err := c.Store.Update(ctx, func(inner store.Tx) error { // of several runs the last one counts
		*tx = countingTx{Tx: inner, put: map[string]bool{}}
		return fn(tx)
	})
	c.add(tx)
	return err
}

func (c *counting) add(tx *countingTx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, tx.reads...)
	if len(tx.put) > 0 {
		c.updates++
	}
}

type countingTx struct {
	store.Tx
	reads []string
	put   map[string]bool // in an update
}

// Get counts, but for keys that the transaction has put: those are in its hands.
func (tx *countingTx) Get(keys ...string) ([][]byte, error) {
	asked := ""
	for _, key := range keys {
		if !tx.put[key] {
			asked += " " + key
		}
	}
	if asked != "" {
		tx.reads = append(tx.reads, asked[1:])
	}
	return tx.Tx.Get(keys...)
}

func (tx *countingTx) Put(key string, value []byte, expires time.Time) {
	tx.put[key] = true
	tx.Tx.Put(key, value, expires)
}

func (tx *countingTx) Delete(key string) {
	tx.put[key] = true
	tx.Tx.Delete(key)
}
