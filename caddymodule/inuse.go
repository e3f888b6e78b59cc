package caddymodule

import (
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// inUse are the apps that have started and are not cleaned up, the newest
// last. During a reload there are two; when one that was refused late goes,
// the one before it is in charge again.
var inUse struct {
	sync.Mutex
	apps    []*App
	started bool // an app has started in this process before
}

// settled is how long after the start of the process the system gets back what
// starting took: reading the store and the pages' words leaves more garbage than
// an idle server would collect for hours.
const settled = 1500 * time.Millisecond

func (a *App) enter() {
	inUse.Lock()
	defer inUse.Unlock()
	inUse.apps = append(inUse.apps, a)
	a.releases = append(a.releases, a.leave)
	reason := "started"
	if inUse.started {
		reason = "reloaded"
		reloads.WithLabelValues("ok").Inc()
	} else {
		time.AfterFunc(settled, debug.FreeOSMemory)
	}
	inUse.started = true
	a.current.Load().service.Report(authcore.Event{Name: EventConfig, Reason: reason})
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
