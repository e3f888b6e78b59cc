package store

import (
	"context"
	"sync"
)

// Calls are those that an engine has under way. The zero value has none.
//
//	if err := calls.Begin(ctx); err != nil { … }
//	defer calls.End()
type Calls struct {
	mu     sync.RWMutex // guards closed against calls that come in
	closed bool
	all    sync.WaitGroup
}

// Begin counts a call in, so that Close waits for it. Behind Close and with a context
// that has ended it is refused.
func (c *Calls) Begin(ctx context.Context) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.all.Add(1)
	return nil
}

// End counts a call out.
func (c *Calls) End() { c.all.Done() }

// Close refuses later calls and waits for those under way.
func (c *Calls) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.all.Wait()
}
