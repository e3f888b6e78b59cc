package pgstore

import (
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// recent is what was read or written a moment ago of records that change seldom. An
// update may try with it first: its commit looks whether it is still so. So what a
// page has just looked at ends in one round trip.
type recent struct {
	mu         sync.Mutex
	young, old map[string]row
	since      time.Time // of young
}

const (
	recentRows = 2000
	recentTime = 30 * time.Second // twice that is the oldest
)

// tell puts into known what is remembered of keys, if that is all of them.
func (r *recent) tell(keys []string, now time.Time, known map[string]row) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	return copyLive(keys, now, known, r.young, r.old)
}

// copyLive copies the rows at keys, each from the first that has it, if all are there and
// none has expired.
func copyLive(keys []string, now time.Time, to map[string]row, from ...map[string]row) bool {
	told := make([]row, len(keys))
	for i, key := range keys {
		var is bool
		for _, rows := range from {
			if told[i], is = rows[key]; is {
				break
			}
		}
		if !is || told[i].value != nil && !told[i].expires.IsZero() && !now.Before(told[i].expires) {
			return false
		}
		told[i].asked = false
	}
	for i, key := range keys {
		to[key] = told[i]
	}
	return true
}

// read notes what a view has read at keys.
func (r *recent) read(keys []string, rows map[string]row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if got := rows[key]; got.value != nil && store.ChangesSeldom(key) {
			r.put(key, got)
		}
	}
}

// wrote notes what an update has written.
func (r *recent) wrote(all map[string]write, version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, w := range all {
		switch {
		case !store.ChangesSeldom(key):
		case w.value == nil:
			r.drop(key)
		default:
			r.put(key, row{version: version, value: w.value, expires: w.expires})
		}
	}
}

// forget drops what has turned out to be otherwise.
func (r *recent) forget(rows map[string]row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range rows {
		r.drop(key)
	}
}

func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.old = nil, nil
}

func (r *recent) drop(key string) {
	delete(r.young, key)
	delete(r.old, key)
}

func (r *recent) put(key string, got row) {
	r.turn()
	got.asked = false
	r.young[key] = got
}

func (r *recent) turn() {
	if now := time.Now(); r.young == nil || len(r.young) >= recentRows || now.Sub(r.since) > recentTime {
		r.old, r.young, r.since = r.young, map[string]row{}, now
	}
}
