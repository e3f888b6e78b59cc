package authcore

import (
	"sync"
	"time"
)

// senderHealth remembers how each sender fared.
type senderHealth struct {
	mu     sync.Mutex
	byName map[string]SenderStatus
}

func (h *senderHealth) took(name string, at time.Time) {
	h.change(name, func(s *SenderStatus) { s.Down, s.SentAt = false, at })
}

func (h *senderHealth) failed(name string, at time.Time, fault SendFault, reason string) {
	h.change(name, func(s *SenderStatus) {
		s.Down, s.Failed, s.Reason = fault == SenderDown, at, fault.String()+": "+reason
	})
}

func (h *senderHealth) change(name string, change func(*SenderStatus)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName == nil {
		h.byName = map[string]SenderStatus{}
	}
	s := h.byName[name]
	s.Name = name
	change(&s)
	h.byName[name] = s
}

func (h *senderHealth) of(name string) SenderStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.byName[name]
	s.Name = name
	return s
}
