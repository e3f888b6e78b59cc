package authcore

import (
	"sync"
	"time"
)

// freshFlows remembers flows that were just begun. Each browser is led from its
// start to the form for the code at once, and the first one need not be read
// for that.
type freshFlows struct {
	mu    sync.Mutex
	flows map[string]freshFlow // by flow cookie
}

type freshFlow struct {
	Flow
	at time.Time
}

const (
	// freshFor bounds how far behind the store the form may be.
	freshFor       = time.Second
	freshFlowsSize = 1000
)

func (f *freshFlows) put(cookie string, flow *Flow, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flows == nil || len(f.flows) >= freshFlowsSize {
		f.flows = map[string]freshFlow{} // those who did not follow
	}
	f.flows[cookie] = freshFlow{*flow, at}
}

// take returns the flow with id (empty: the newest) if it is remembered for
// this browser and was not shown or answered yet.
func (f *freshFlows) take(b Browser, id string, now time.Time) *Flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, found := f.flows[b.Flow]
	delete(f.flows, b.Flow)
	age := now.Sub(one.at)
	if !found || age < 0 || age >= freshFor || one.Site != b.Origin || id != "" && id != one.ID {
		return nil
	}
	one.ResendIn = max(one.ResendIn-age, 0)
	return &one.Flow
}

// drop forgets a browser's flow, which is about to change.
func (f *freshFlows) drop(cookie string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flows, cookie)
}
