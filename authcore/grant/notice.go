package grant

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// When a session ends, the clients at which its person has signed in are told.
// What is to be told stands in the grants: one whose session has ended by
// somebody's deed and that is still in the store has a client that was not told
// yet. So nothing is lost with the process, and who ends a session waits for
// nobody. Whoever ends one calls Changed, and the person's grants are looked
// at; all grants are looked at now and then, which finds what ended without a
// word: by a policy, with all others, or while this process was down.
//
// Where several nodes share the store, that one tells a client which was the first to
// see that a grant is over, and another one once that node is gone.
//
// A client is tried three times within a minute, and then given up: it may be gone
// for good. A session that has only expired is told to nobody.
//
// Each client has a line of its own, so that one that is slow, or means to be, keeps
// no other waiting. A line in which nobody was answered while a try waited for an
// answer in vain is dead: what stood in it meanwhile counts as tried, too, so that
// hundreds of notices take no longer than one.

// Notice is that a person's session has ended.
type Notice struct {
	Client *Client
	Issuer string
	Names
}

const (
	// lookEvery is how often all grants are looked at.
	lookEvery = time.Minute
	// noticeTries is how often a client is tried.
	noticeTries = 3
	// noticesAtOnce bounds how many notices one client gets at the same time.
	noticesAtOnce = 8
	familyPage    = 200
)

// ErrNoAnswer: whoever was told of an ending did not answer at all.
var ErrNoAnswer = errors.New("there is no answer")

// noticePause is how long after a try in vain the next one comes.
var noticePause = [noticeTries]time.Duration{1: 5 * time.Second, 2: 30 * time.Second}

// work is what waits to be looked at.
type work struct {
	mu     sync.Mutex
	people map[string]bool
	all    bool
	wake   chan struct{}
	under  map[string]bool // ids of grants whose client is being told
	lines  map[string]*line
	done   sync.WaitGroup
}

func newWork() work {
	return work{people: map[string]bool{}, under: map[string]bool{}, lines: map[string]*line{}, wake: make(chan struct{}, 1), all: true}
}

// line is the notices of one client, a few of which are under way.
type line struct {
	slots chan struct{}

	mu       sync.Mutex
	answered time.Time // last
	dead     time.Time // when that was last found out
}

// of is the line of a client.
func (w *work) of(client string) *line {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lines[client]
	if l == nil {
		l = &line{slots: make(chan struct{}, noticesAtOnce)}
		w.lines[client] = l
	}
	return l
}

// send sends a notice once it is its turn.
func (l *line) send(ctx context.Context, notify func() error) error {
	queued := time.Now()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.wasDead(queued) {
		return ErrNoAnswer
	}
	began := time.Now()
	err := notify()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch now := time.Now(); {
	case !errors.Is(err, ErrNoAnswer):
		l.answered = now
	case !l.answered.After(began):
		l.dead = now
	}
	return err
}

// wasDead tells whether the line was found dead since.
func (l *line) wasDead(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead.After(since)
}

func (w *work) lookAt(sub string) {
	w.mu.Lock()
	w.people[sub] = true
	w.mu.Unlock()
	w.nudge()
}

func (w *work) lookAtAll() {
	w.mu.Lock()
	w.all = true
	w.mu.Unlock()
	w.nudge()
}

func (w *work) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *work) take() (people map[string]bool, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	people, all = w.people, w.all
	w.people, w.all = map[string]bool{}, false
	return people, all
}

// Changed has the grants of a person looked at: a session of theirs may have
// ended. It does not wait for that. Without a subject everybody's are.
func (g *Grants) Changed(sub string) {
	if sub == "" {
		g.work.lookAtAll()
		return
	}
	g.work.lookAt(sub)
}

// Run tells clients of sessions that have ended, until ctx ends.
func (g *Grants) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	defer g.work.done.Wait()
	g.work.nudge()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.work.lookAtAll()
			continue
		case <-g.work.wake:
		}
		if g.inUse.Load().Notify == nil {
			continue // no configuration is in use yet
		}
		people, all := g.work.take()
		var err error
		if all {
			err = g.lookAtAll(ctx)
		} else {
			for sub := range people {
				ids, failed := g.familiesOf(ctx, sub)
				if err = failed; err == nil {
					err = g.lookAt(ctx, ids)
				}
				if err != nil {
					g.work.lookAt(sub)
					break
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			g.cfg.Log.Warn("apps can't be told yet that people have signed out; it is tried again in a minute", "error", err)
		}
	}
}

func (g *Grants) lookAtAll(ctx context.Context) error {
	for after := ""; ; {
		items, err := g.page(ctx, store.KeyGrant, after)
		if err != nil || len(items) == 0 {
			return err
		}
		after = items[len(items)-1].Key
		ids := make([]string, len(items))
		for i, item := range items {
			ids[i] = strings.TrimPrefix(item.Key, store.KeyGrant)
		}
		if err := g.lookAt(ctx, ids); err != nil {
			return err
		}
	}
}

func (g *Grants) page(ctx context.Context, prefix, after string) ([]store.Item, error) {
	return store.View(ctx, g.cfg.Store, func(tx store.Tx) ([]store.Item, error) { return tx.Scan(prefix, after, familyPage) })
}

func (g *Grants) familiesOf(ctx context.Context, sub string) (ids []string, err error) {
	prefix := store.KeyPersonGrant + sub + "/"
	for after := ""; ; {
		items, err := g.page(ctx, prefix, after)
		if err != nil || len(items) == 0 {
			return ids, err
		}
		after = items[len(items)-1].Key
		for _, item := range items {
			ids = append(ids, strings.TrimPrefix(item.Key, prefix))
		}
	}
}

// lookAt begins to tell the clients of those grants that are over.
func (g *Grants) lookAt(ctx context.Context, ids []string) error {
	over, err := store.View(ctx, g.cfg.Store, func(tx store.Tx) (over []*Grant, err error) {
		for _, id := range ids {
			gr, err := loadGrant(tx, id)
			if err != nil {
				return nil, err
			}
			if gr == nil {
				continue
			}
			stands, err := g.stands(tx, gr)
			if err != nil {
				return nil, err
			}
			if stands.why != "" && stands.over {
				gr.Reason = stands.why
				over = append(over, gr)
			}
		}
		return over, nil
	})
	if err != nil {
		return err
	}
	told := map[string]bool{} // one notice for each sign-in at a client, as it knows it, however many grants it has
	for _, gr := range over {
		sign := gr.Client + "\x00" + gr.Issuer + "\x00" + gr.Sector + "\x00" + gr.Session
		if told[sign] {
			if err := g.cfg.Store.Update(ctx, func(tx store.Tx) error { gr.remove(tx); return nil }); err != nil {
				return err
			}
			continue
		}
		told[sign] = true
		if err := g.over(ctx, gr); err != nil {
			return err
		}
	}
	return nil
}

// over ends a grant whose sign-in is over, and begins to tell its client.
func (g *Grants) over(ctx context.Context, gr *Grant) error {
	client := g.Client(gr.Client)
	if client == nil || client.Backchannel == "" {
		removed, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (bool, error) {
			stored, err := loadGrant(tx, gr.ID)
			if err != nil || stored == nil {
				return false, err
			}
			gr.remove(tx)
			return true, nil
		})
		if removed {
			g.observe(event.GrantEnded, gr, gr.Reason)
		}
		return err
	}
	node := ""
	if shared, is := g.cfg.Store.(store.Shared); is {
		node = shared.Node()
		if gr.Over && gr.Node != node {
			if gone, err := shared.Gone(ctx, gr.Node); err != nil || !gone {
				return err
			}
		}
	}
	if !g.work.begin(gr.ID) {
		return nil
	}
	// Since f was read, whoever told the client may have come to an end.
	now := g.cfg.Now()
	stored, err := store.Update(ctx, g.cfg.Store, func(tx store.Tx) (*Grant, error) {
		stored, err := loadGrant(tx, gr.ID)
		switch {
		case err != nil || stored == nil || stored.Over && stored.Node == node:
			return stored, err
		case stored.Over && stored.Node != gr.Node: // another was first
			return nil, nil
		case !stored.Over:
			stored.Ended, stored.Reason, stored.Over = now, gr.Reason, true
		}
		stored.Node = node
		return stored, stored.save(tx)
	})
	if err != nil || stored == nil {
		g.work.end(gr.ID)
		return err
	}
	if stored.Ended.Equal(now) {
		g.observe(event.GrantEnded, gr, gr.Reason)
	}
	g.work.done.Go(func() {
		defer g.work.end(gr.ID)
		g.tell(ctx, stored, client)
	})
	return nil
}

func (w *work) begin(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.under[id] {
		return false
	}
	w.under[id] = true
	return true
}

func (w *work) end(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.under, id)
}

// change changes a grant in the store, if it is still there.
func (g *Grants) change(ctx context.Context, id string, do func(*Grant)) error {
	return g.cfg.Store.Update(ctx, func(tx store.Tx) error {
		gr, err := loadGrant(tx, id)
		if err != nil || gr == nil {
			return err
		}
		do(gr)
		return gr.save(tx)
	})
}

// tell tries a client until it has heard, or the tries are used up.
func (g *Grants) tell(ctx context.Context, gr *Grant, client *Client) {
	names, err := g.Names(ctx, gr)
	for tries := gr.Tries; err == nil && tries < noticeTries; tries++ {
		if !pause(ctx, noticePause[tries]) {
			return // what is left is found again after the next start
		}
		failed := g.work.of(client.ID).send(ctx, func() error {
			return g.notify(ctx, Notice{Client: client, Issuer: gr.Issuer, Names: names})
		})
		if ctx.Err() != nil {
			return
		}
		if failed == nil {
			g.observe(event.LogoutTold, gr, "")
			break
		}
		g.cfg.Log.Warn("an app could not be told that a person has signed out", "app", client.ID, "try", tries+1, "of", noticeTries, "error", failed)
		if tries == noticeTries-1 {
			g.observe(event.LogoutTold, gr, "given_up")
			break
		}
		err = g.change(ctx, gr.ID, func(stored *Grant) { stored.Tries = tries + 1 })
	}
	if err == nil {
		err = g.cfg.Store.Update(ctx, func(tx store.Tx) error { gr.remove(tx); return nil })
	}
	if err != nil && ctx.Err() == nil {
		g.cfg.Log.Warn("that an app was told of a sign-out can't be written down; it may be told again", "app", client.ID, "error", err)
	}
}

func (g *Grants) notify(ctx context.Context, n Notice) error {
	notify := g.inUse.Load().Notify
	if notify == nil {
		return context.Canceled
	}
	return notify(ctx, n)
}

func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
