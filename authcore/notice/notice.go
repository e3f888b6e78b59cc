// Package notice is what the nodes that share a store tell each other: that a session
// has ended, that the keys have changed, that all sessions were ended.
//
//	board := notice.New(config)
//	err := board.Tell(tx, notice.Ended, sid) // in the transaction that ends it
//	board.Run(ctx)                           // reads what others tell, once a second
//
// A notice is a record that lives ten minutes. Its key begins with the time, and it is
// read as long as a transaction that began then may still come through, so that none
// is passed over. With an engine that one process uses alone nothing is told.
//
// It knows no session and no key: who hears a notice knows what to do. State of the
// process: when it read last, and what it has heard since.
package notice

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Kind says what a notice is about.
type Kind string

// The kinds of notices. What one is about is named by its id.
const (
	Ended    Kind = "ended"    // a session, with all that hang on it
	Replaced Kind = "replaced" // a session, by the same person's next one
	Revoked  Kind = "revoked"  // all sessions
	Keys     Kind = "keys"     // the signing keys have changed
)

// Notice is one of them.
type Notice struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id,omitempty"`
	Node string `json:"node"` // who tells it
}

const (
	readEvery = time.Second
	// slack is how long a transaction may take, and how long what was read is passed
	// on again: a session may have been read just before its end and come into memory
	// just after the notice.
	slack = 20 * time.Second
	life  = 10 * time.Minute
	// BlindAfter is how long a node may go without reading.
	BlindAfter = time.Minute
	page       = 1000
)

// Config is what a Board needs.
type Config struct {
	Store store.Store
	Now   func() time.Time
	Log   *slog.Logger
	// Hear is told what other nodes tell, more than once.
	Hear func(context.Context, Notice) error
	// Missed is called when so long nothing could be read that notices are gone.
	Missed func(context.Context) error
	// Blind is called once nothing was read for BlindAfter.
	Blind func()
}

// Board is where notices are told and read.
type Board struct {
	cfg  Config
	node string // empty: this process has the store for itself
	last time.Time
	told map[string]bool // passed on, of kinds that need it once

	mu    sync.Mutex
	heard map[Notice]time.Time // what others told within its life

	blind  atomic.Bool
	failed atomic.Pointer[error] // why nothing could be read last
}

// New returns a board. One for a store that is not shared does nothing.
func New(c Config) *Board {
	b := &Board{cfg: c, told: map[string]bool{}, heard: map[Notice]time.Time{}}
	if shared, is := c.Store.(store.Shared); is {
		b.node = shared.Node()
	}
	return b
}

// Tell tells the other nodes, once the transaction is committed.
func (b *Board) Tell(tx store.Tx, kind Kind, id string) error {
	if b.node == "" {
		return nil
	}
	now := b.cfg.Now()
	return store.Save(tx, key(now)+"-"+b.node+"-"+string(kind)+"-"+id, Notice{kind, id, b.node}, now.Add(life))
}

func key(at time.Time) string { return fmt.Sprintf("%s%016x", store.KeyNotice, at.UnixMicro()) }

// Run reads what other nodes tell until ctx ends.
func (b *Board) Run(ctx context.Context) {
	if b.node == "" {
		return
	}
	b.last = b.cfg.Now()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	// A read may take longer than that, and clocks may stand still that timers go by.
	unread := time.AfterFunc(BlindAfter, b.goBlind)
	defer unread.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := b.cfg.Now()
		err := b.read(ctx, now)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			b.last = now
			unread.Reset(BlindAfter - b.cfg.Now().Sub(now))
			if b.blind.Swap(false) {
				b.cfg.Log.Info("the store can be read again")
			}
		default:
			b.failed.Store(&err)
			if now.Sub(b.last) > BlindAfter {
				b.goBlind()
			}
		}
	}
}

func (b *Board) goBlind() {
	if b.blind.Swap(true) {
		return
	}
	var err error
	if failed := b.failed.Load(); failed != nil {
		err = *failed
	}
	b.cfg.Log.Error("the store could not be read for a minute: sessions that can't be checked are refused", "error", err)
	b.cfg.Blind()
}

// Blind tells whether nothing could be read for BlindAfter.
func (b *Board) Blind() bool { return b.blind.Load() }

func (b *Board) read(ctx context.Context, now time.Time) error {
	since := b.last.Add(-slack)
	after := key(since)
	heard := map[string]bool{}
	for {
		items, err := store.View(ctx, b.cfg.Store, func(tx store.Tx) ([]store.Item, error) {
			return tx.Scan(store.KeyNotice, after, page)
		})
		if err != nil {
			return err
		}
		for _, item := range items {
			after = item.Key
			if err := b.hear(ctx, item, heard); err != nil {
				return err
			}
		}
		if len(items) < page {
			break
		}
	}
	b.told = heard
	b.mu.Lock()
	maps.DeleteFunc(b.heard, func(_ Notice, at time.Time) bool { return now.Sub(at) > life })
	b.mu.Unlock()
	if now.Sub(since) > life {
		return b.cfg.Missed(ctx)
	}
	return nil
}

func (b *Board) hear(ctx context.Context, item store.Item, heard map[string]bool) error {
	var n Notice
	if _, err := store.Decode(item.Key, item.Value, &n); err != nil || n.Node == b.node {
		return err
	}
	if n.Kind == Keys || n.Kind == Revoked {
		heard[item.Key] = true
		if b.told[item.Key] {
			return nil
		}
	}
	if err := b.cfg.Hear(ctx, n); err != nil {
		delete(heard, item.Key)
		return fmt.Errorf("%s: %w", strings.TrimSuffix(store.KeyNotice, "/"), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[n] = b.cfg.Now()
	return nil
}

// Heard is what other nodes have told within ten minutes.
func (b *Board) Heard() []Notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.heard))
}
