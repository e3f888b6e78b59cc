package challenge

import (
	"sync"
	"time"
)

// Alarm tells operators of guessing that is spread over many addresses and so
// stays within each address's limit: one fixed code tried at a thousand
// accounts. It fires once a day, above max(200 a day, 10 × usual), where usual
// is the average day so far of this process.
type Alarm struct {
	mu    sync.Mutex
	day   time.Time // the day's first wrong code
	today int
	past  int // wrong codes of past days
	days  int
}

const alarmFloor = 200

// Count counts a wrong code, and tells whether the alarm fires.
func (a *Alarm) Count(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.day) >= 24*time.Hour {
		if !a.day.IsZero() {
			a.past += a.today
			a.days++
		}
		a.day, a.today = now, 0
	}
	a.today++
	most := alarmFloor
	if a.days > 0 {
		most = max(most, 10*a.past/a.days)
	}
	return a.today == most+1
}
