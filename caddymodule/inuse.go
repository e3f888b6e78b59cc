package caddymodule

import (
	"slices"
	"sync"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
)

// inUse are the apps that have started and are not cleaned up, the newest
// last. During a reload there are two; when one that was refused late goes,
// the one before it is in charge again.
var inUse struct {
	sync.Mutex
	apps    []*App
	started bool // an app has started in this process before
}

func (a *App) enter() {
	inUse.Lock()
	defer inUse.Unlock()
	inUse.apps = append(inUse.apps, a)
	a.releases = append(a.releases, a.leave)
	reason := "started"
	if inUse.started {
		reason = "reloaded"
		metrics.Reloaded("ok")
	}
	inUse.started = true
	a.house.Running().Service.Report(event.Event{Name: EventConfig, Reason: reason})
}

func (a *App) leave() {
	inUse.Lock()
	defer inUse.Unlock()
	inUse.apps = slices.DeleteFunc(inUse.apps, func(o *App) bool { return o == a })
}

// appInUse is the newest app that has started, nil for none.
func appInUse() *App {
	inUse.Lock()
	defer inUse.Unlock()
	if n := len(inUse.apps); n > 0 {
		return inUse.apps[n-1]
	}
	return nil
}

// scraped is what metrics show of it.
func scraped() *metrics.Now {
	a := appInUse()
	if a == nil {
		return nil
	}
	return &metrics.Now{Core: a.house.Running().Core, Store: a.storeStatus(), Lists: a.listStates.all()}
}
