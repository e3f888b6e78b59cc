package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Several nodes may share the store. A message is that node's which queued it; what
// a node that is gone has left is that node's which claims it first. Only whose it is
// hands it over, and writes so before (Entry.Handed): where that node is killed, its
// copy may have gone out. The next node counts it as one of mostCopies, so that the
// message is sent once more and never a third time.
//
// A message that is sent at once is not claimed: it was stored as handed over. Who
// has the store for itself claims nothing.

const (
	// lookEvery is how often a node looks for what others have left, and lookShare the
	// most of its time that this takes, one part in so many.
	lookEvery = 5 * time.Second
	lookShare = 50
	// atOnce is how long a message is its node's without a look: sooner nobody takes
	// that for gone, and nobody asks for the message again.
	atOnce = 10 * time.Second
)

// errElsewhere: another node has the message, or sent it.
var errElsewhere = errors.New("another node has it")

// node is this one's id, empty for who has the store for itself.
func (o *Outbox) node() string {
	if o.shared == nil {
		return ""
	}
	return o.shared.Node()
}

// keepLooking takes up what nodes that are gone have left, until ctx ends.
func (o *Outbox) keepLooking(ctx context.Context) {
	for pause := lookEvery; o.shared != nil; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		if err := o.load(ctx, map[string]bool{o.node(): false}); err != nil && ctx.Err() == nil {
			o.cfg.Log.Warn("the mails that other nodes have left can't be looked for", "error", err)
		}
		pause = max(lookEvery, lookShare*time.Since(began))
	}
}

// takeUp has an entry of the store sent from here, unless it waits here already.
func (o *Outbox) takeUp(e *Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := o.of(e.Text)
	if q.waiting[e.key()] != nil {
		return
	}
	for m := range q.sending {
		if m.name == e.key() {
			return
		}
	}
	o.add(e)
}

// isElsewhere tells whether m was left by a node that has come back.
func (o *Outbox) isElsewhere(ctx context.Context, m *mail) (bool, error) {
	if o.shared == nil || m.Node == o.node() {
		return false, nil
	}
	gone, err := o.shared.Gone(ctx, m.Node)
	return !gone, err
}

// isClaimed tells whether m may be handed over as it is.
func (o *Outbox) isClaimed(m *mail) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shared == nil || m.Node == o.node() && m.Handed && o.cfg.Now().Sub(m.Queued).Abs() < atOnce
}

// claim is m as it is stored once it is this node's, to be handed over once more.
func (o *Outbox) claim(tx store.Tx, m *mail) (Entry, error) {
	o.mu.Lock()
	e := m.Entry
	o.mu.Unlock()
	e.Held = nil
	if o.shared == nil {
		return e, nil
	}
	var is Entry
	found, err := store.Load(tx, m.name, &is)
	if err != nil {
		return e, err
	}
	if !found || !is.Queued.Equal(e.Queued) || is.Node != o.node() && is.Node != e.Node {
		return e, errElsewhere
	}
	if is.Node != o.node() {
		if e.Maybe = is.Maybe; is.Handed {
			e.Maybe = append(e.Maybe, "") // by a sender that is not known
		}
	}
	e.Node, e.Handed = o.node(), true
	return e, nil
}

// claimed takes down that m was stored as e.
func (o *Outbox) claimed(m *mail, e Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(e.Maybe) > len(m.Maybe) {
		m.news = append(m.news, Try{At: o.cfg.Now(), Failed: &SendError{Fault: SenderDown, Maybe: true, Reason: "the node that had it is gone; it may have sent it"}})
	}
	m.Node, m.Handed, m.Maybe = e.Node, e.Handed, e.Maybe
}

// returned takes down that m is in no sender's hands any more; o.mu is held.
func (m *mail) returned() {
	if m.Handed {
		m.Handed, m.unsaved = false, true
	}
}
