package authcore

import (
	"slices"
	"sync"
	"time"
)

// unfitAfter is how many recipient domains in a row a sender must refuse,
// without naming the recipient as the reason, to be unfit. One of them can be
// somebody's own server that wants to look like our failure.
const unfitAfter = 3

// senderHealth remembers how each sender fared.
type senderHealth struct {
	mu     sync.Mutex
	byName map[string]*senderRecord
}

type senderRecord struct {
	SenderStatus
	refused []string // the recipient domains that it refused since it last took a mail, at most unfitAfter
}

// took notes that the sender took a mail.
func (h *senderHealth) took(name string, at time.Time) {
	h.change(name, func(r *senderRecord) { r.Down, r.Unfit, r.SentAt, r.refused = false, false, at, nil })
}

// answers notes that the sender can be reached and signed in to. Whether it
// takes mail is not known by that.
func (h *senderHealth) answers(name string) {
	h.change(name, func(r *senderRecord) { r.Down = false })
}

// failed notes what became of a mail to somebody at domain; empty for a text
// message, and where no mail was tried.
func (h *senderHealth) failed(name string, at time.Time, e *SendError, domain string) {
	h.change(name, func(r *senderRecord) {
		r.Down, r.Failed, r.Reason = e.Fault == SenderDown, at, e.Error()
		if r.Down || e.Recipient || domain == "" {
			return
		}
		if len(r.refused) < unfitAfter && !slices.Contains(r.refused, domain) {
			r.refused = append(r.refused, domain)
		}
		r.Unfit = len(r.refused) >= unfitAfter
	})
}

func (h *senderHealth) change(name string, change func(*senderRecord)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName == nil {
		h.byName = map[string]*senderRecord{}
	}
	r := h.byName[name]
	if r == nil {
		r = &senderRecord{SenderStatus: SenderStatus{Name: name}}
		h.byName[name] = r
	}
	change(r)
}

func (h *senderHealth) of(name string) SenderStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.byName[name]; r != nil {
		return r.SenderStatus
	}
	return SenderStatus{Name: name}
}
