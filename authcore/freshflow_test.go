package authcore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// The form for the code that a start leads to is shown without the store: once,
// for a second, to that browser at that site, and as the store has it.
func TestFormOfAFreshFlow(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		store := &breakable{Store: h.store}
		h.reopenOn(store)
		unread := func(b authcore.Browser, id string) *authcore.Flow {
			store.broken.Store(true)
			defer store.broken.Store(false)
			flow, _ := h.service.Flow(t.Context(), b, id)
			return flow
		}
		read := func(b authcore.Browser, id string) *authcore.Flow {
			flow, err := h.service.Flow(t.Context(), b, id)
			want(t, err, nil)
			return flow
		}

		b := h.browser()
		begun := b.begin(alice)
		time.Sleep(300 * time.Millisecond)
		shown := unread(b.Browser, begun.Flow)
		if shown == nil {
			t.Fatal("it was read")
		}
		want(t, fmt.Sprint(*shown), fmt.Sprint(*read(b.Browser, begun.Flow)))
		want(t, unread(b.Browser, begun.Flow), nil) // once

		b.begin(alice)
		again := b.begin(alice) // nothing is sent, and it is another flow
		want(t, unread(b.Browser, "").ID, again.Flow)

		for name, change := range map[string]func(*tab){
			"another site":    func(b *tab) { b.Origin = other },
			"another browser": func(b *tab) { b.Flow += "x" },
			"late":            func(*tab) { time.Sleep(time.Second) },
			"answered":        func(b *tab) { b.answer("000000") },
		} {
			b := h.browser()
			b.begin(mustAddress(name[len(name)-4:] + "@example.com"))
			change(b)
			if unread(b.Browser, "") != nil {
				t.Errorf("%s: shown unread", name)
			}
		}
		b = h.browser()
		b.begin(mustAddress("carol@example.com"))
		want(t, unread(b.Browser, "another"), nil)
	})
}
