package authcore

import (
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"sync"
	"time"
)

// alarm tells operators of guessing that is spread over many addresses and so
// stays within each address's limit: one fixed code tried at a thousand
// accounts. It fires once a day, above max(200 a day, 10 × usual), where usual
// is the average day so far of this process.
type alarm struct {
	mu    sync.Mutex
	day   time.Time // the day's first wrong code
	today int
	past  int // wrong codes of past days
	days  int
}

const alarmFloor = 200

func (a *alarm) count(s *Service) {
	now := s.core.now()
	a.mu.Lock()
	if now.Sub(a.day) >= 24*time.Hour {
		if !a.day.IsZero() {
			a.past += a.today
			a.days++
		}
		a.day, a.today = now, 0
	}
	a.today++
	limit := alarmFloor
	if a.days > 0 {
		limit = max(limit, 10*a.past/a.days)
	}
	fire := a.today == limit+1
	a.mu.Unlock()
	if fire {
		s.observe(event.Event{Name: event.Alarm, Reason: "wrong codes today above the usual"})
	}
}
