package caddymodule

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// health is what the portal tells monitors: words, never addresses or names.
type health struct {
	Status  string         `json:"status"`
	Store   string         `json:"store"`
	Mail    string         `json:"mail"`
	Senders []senderHealth `json:"senders"`
}

type senderHealth struct {
	Kind   string `json:"kind"`
	Status string `json:"status"`
}

// healthPatience bounds how long a monitor waits for the store.
const healthPatience = 2 * time.Second

func (r *running) health(ctx context.Context) (health, int) {
	h := health{Status: "ok", Store: "ok", Mail: "ok", Senders: []senderHealth{}}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	if err := r.core.Ping(ctx); err != nil {
		h.Status, h.Store = "down", "down"
	}
	status := r.core.Status()
	if status.MailDown {
		h.Status, h.Mail = "down", "down"
	}
	if status.MailDelayed {
		h.Mail = "delayed"
	}
	for _, s := range status.Senders {
		kind, _, _ := strings.Cut(s.Name, " ")
		sender := senderHealth{Kind: kind, Status: "ok"}
		switch {
		case s.Down:
			sender.Status = "down"
		case s.Unfit:
			sender.Status = "unfit"
		}
		h.Senders = append(h.Senders, sender)
	}
	if h.Status != "ok" {
		return h, http.StatusServiceUnavailable
	}
	return h, http.StatusOK
}
