package authcore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// census knows about how many sessions and people there are. Counting them all
// reads all of them, so it is done beside requests and rarely; in between the
// numbers follow what this process does.
type census struct {
	sessions atomic.Int64
	people   atomic.Int64
	taken    atomic.Int64 // unix milliseconds of the last count
}

// add follows what this process does.
func (c *census) add(sessions, people int) {
	c.sessions.Add(int64(sessions))
	c.people.Add(int64(people))
}

const (
	// censusEvery is how often a small store is counted.
	censusEvery = 5 * time.Minute
	// censusTrusted is how long the numbers of the process before are shown:
	// counting maps the greater part of the store into memory.
	censusTrusted = time.Hour
	// censusShare bounds the time spent on counting a large one: one part in
	// so many.
	censusShare = 200
	// censusPage bounds how long one look at the store lasts.
	censusPage = 500
	// censusRest is how many times as long as a look the rest after it is: a
	// server that has just started has better things to do.
	censusRest = 4
)

// censusRecord is the last census with what this process has seen since.
type censusRecord struct {
	Sessions int64     `json:"sessions"`
	People   int64     `json:"people"`
	Taken    time.Time `json:"taken"`
}

// recall takes the numbers of the process before. It returns how long they are
// good enough.
func (c *Core) recall(ctx context.Context) (rest time.Duration) {
	r, err := store.View(ctx, c.store, func(tx store.Tx) (r censusRecord, err error) {
		_, err = store.Load(tx, store.KeyCensus, &r)
		return r, err
	})
	if rest = r.Taken.Add(censusTrusted).Sub(c.now()); err != nil || rest <= 0 || rest > censusTrusted {
		return 0
	}
	c.census.sessions.Add(r.Sessions)
	c.census.people.Add(r.People)
	c.census.taken.Store(r.Taken.UnixMilli())
	return rest
}

// keep writes the numbers for the process after this one.
func (c *census) keep(ctx context.Context, core *Core) {
	if c.taken.Load() == 0 {
		return
	}
	r := censusRecord{c.sessions.Load(), c.people.Load(), time.UnixMilli(c.taken.Load())}
	err := core.store.Update(ctx, func(tx store.Tx) error { return store.Save(tx, store.KeyCensus, r, time.Time{}) })
	if err != nil {
		core.log.Warn("the number of sessions can't be kept; they are counted anew after the next start", "error", err)
	}
}

func (c *Core) takeCensus(ctx context.Context) {
	timer := time.NewTimer(c.recall(ctx))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		if err := c.count(ctx, censusRest); err != nil && ctx.Err() == nil {
			c.log.Warn("sessions and people can't be counted; the old numbers are shown", "error", err)
		} else if err == nil {
			c.census.keep(ctx, c)
		}
		timer.Reset(max(censusEvery, censusShare*time.Since(began)))
	}
}

// count counts, resting rest times as long as it looks.
func (c *Core) count(ctx context.Context, rest int64) error {
	sessions, err := c.countEach(ctx, rest, store.KeySession, func(tx store.Tx, item store.Item) bool {
		r := &session.Record{}
		if _, err := store.Decode(item.Key, item.Value, r); err != nil {
			return false
		}
		stands, err := c.sessions.Stands(tx, r)
		return err == nil && stands == session.Live
	})
	if err != nil {
		return err
	}
	people, err := c.countEach(ctx, rest, store.KeyAddress, func(store.Tx, store.Item) bool { return true })
	if err != nil {
		return err
	}
	c.census.sessions.Store(sessions)
	c.census.people.Store(people)
	c.census.taken.Store(c.now().UnixMilli())
	return nil
}

func (c *Core) countEach(ctx context.Context, rest int64, prefix string, counts func(store.Tx, store.Item) bool) (n int64, err error) {
	for after := ""; ; {
		type page struct {
			n    int64
			last string // key, empty for the last page
		}
		began := time.Now()
		got, err := store.View(ctx, c.store, func(tx store.Tx) (got page, err error) {
			items, err := tx.Scan(prefix, after, censusPage)
			for _, item := range items {
				if counts(tx, item) {
					got.n++
				}
			}
			if len(items) == censusPage {
				got.last = items[censusPage-1].Key
			}
			return got, err
		})
		if err != nil {
			return 0, err
		}
		n += got.n
		if after = got.last; after == "" {
			return n, nil
		}
		select {
		case <-time.After(time.Duration(rest * int64(time.Since(began)))):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Status is how an instance is, as far as this process knows without much
// looking.
type Status struct {
	Sessions    int64     // live ones, about
	People      int64     // about
	CountedAt   time.Time // when they were counted last; zero: not yet
	Blind       bool      // the store could not be read for a minute
	Streams     int       // answers under way that are watched
	MailWaiting int
	MailMaybe   int                   // of these, how many were handed over and not answered for
	MailDown    bool                  // new sign-ins are refused
	MailDelayed bool                  // no sender is fit; pages say that mail is delayed
	Senders     []outbox.SenderStatus // of mail
	Texts       []outbox.SenderStatus // of text messages
	Keys        []keyring.Status      // the oldest first
}

// Status reports on the instance. It reads memory alone.
func (c *Core) Status() Status {
	out := Status{
		Sessions: max(c.census.sessions.Load(), 0), People: max(c.census.people.Load(), 0),
		Blind: c.board.Blind(), Streams: c.sessions.Streams(), MailWaiting: c.outbox.Waiting(), MailMaybe: c.outbox.Maybe(),
	}
	if at := c.census.taken.Load(); at != 0 {
		out.CountedAt = time.UnixMilli(at)
	}
	_, out.MailDown = c.outbox.Down(false)
	out.MailDelayed = c.outbox.Delayed()
	out.Senders, out.Texts = c.outbox.Senders(false), c.outbox.Senders(true)
	out.Keys = c.keys.Status()
	return out
}

// Ping tells whether the store answers, by its own word or by a record, and whether this
// node can use what it says.
func (c *Core) Ping(ctx context.Context) error {
	if c.board.Blind() {
		return errors.New("the store could not be read for a minute; sessions that can't be checked are refused")
	}
	if err := c.keys.Sealed(); err != nil {
		return err
	}
	if own, can := c.store.(interface{ Ping(context.Context) error }); can {
		return own.Ping(ctx)
	}
	return c.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Get(store.KeyMeta)
		return err
	})
}
