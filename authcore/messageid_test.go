package authcore_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// postmark is a sender that defers the first mails and puts a Message-ID of its own
// in the place of ours.
type postmark struct {
	recorder
	defers int
	seen   []string // Message-IDs, in order
}

func (p *postmark) Send(ctx context.Context, m outbox.Message) error {
	p.mu.Lock()
	p.seen = append(p.seen, m.MessageID)
	p.defers--
	late := p.defers >= 0
	p.mu.Unlock()
	if late {
		return &outbox.SendError{Fault: outbox.Deferred, Reason: "450 later"}
	}
	m.Rename("<own-" + m.MessageID + ">")
	return p.recorder.Send(ctx, m)
}

func (p *postmark) last(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[len(p.seen)-1]
}

// A mail bears one Message-ID over all tries, all senders and a restart, so that
// mailboxes that get it twice show it once. One that was asked for again is
// another mail: mailboxes would drop what they have already.
func TestMessageIDIsOnePerMail(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		first := &postmark{recorder: recorder{name: "first"}, defers: 1000}
		second := &postmark{recorder: recorder{name: "second"}, defers: 3}
		h.config.Senders = []outbox.Sender{first, second}
		h.reopen()
		b := h.browser()
		b.begin(alice)
		id := second.last(t)
		time.Sleep(6 * time.Second)
		first.last(t)
		// The secret is changed in the meantime, and the process starts anew.
		h.secrets = keyring.Secrets{Current: secretOf(t, 'b'), Old: []keyring.Secret{h.secrets.Current}}
		h.reopen()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want(t, second.count(), 1)
		want(t, len(second.seen) >= 4, true)
		for _, seen := range append(first.seen, second.seen...) {
			want(t, seen, id)
		}
		b.resend()
		if again := second.last(t); again == id {
			t.Error("a mail that was asked for again has the Message-ID of the one before")
		}
	})
}

// Who sees a Message-ID, or knows what the outbox calls a mail, can't make
// another's: it would tie a forged bounce to a sign-in.
func TestMessageIDIsUnguessable(t *testing.T) {
	ids := map[string]bool{}
	for _, secret := range []byte{'a', 'b'} {
		s := secretOf(t, secret)
		for _, entry := range []string{"mail/1-x 1", "mail/1-x 2", "mail/2-x 1"} {
			id := s.MessageID(entry)
			if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || ids[id] {
				t.Errorf("%s of %c: %s", entry, secret, id)
			}
			ids[id] = true
		}
	}
	run(t, func(t *testing.T, h *house) {
		p := &postmark{}
		h.config.Senders = []outbox.Sender{p}
		h.reopen()
		h.browser().begin(alice)
		id := p.last(t)
		c := h.attempts(alice)[0].Challenge
		if local, _, _ := strings.Cut(id, "@"); strings.Contains(id, c) || strings.Contains(c, local) || len(local) != 32 {
			t.Errorf("Message-ID %s of challenge %s", id, c)
		}
		for key := range h.contents() {
			if strings.Contains(key, id) {
				t.Errorf("%s names a Message-ID", key)
			}
		}
	})
}

// Both Message-IDs of a mail, ours and the sender's own, lead to its challenge for
// 30 days; what the history says is what the mail bears.
func TestMessageIDLeadsToTheChallenge(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		p := &postmark{defers: 1}
		h.config.Senders = []outbox.Sender{p}
		h.reopen()
		h.browser().begin(alice)
		id := p.last(t)
		a := h.attempts(alice)[0]
		sent := func(id string) *outbox.Sent {
			t.Helper()
			found, err := h.core.Outbox().Sent(t.Context(), id)
			want(t, err, nil)
			return found
		}
		if s := sent(id); s == nil || s.Ref != a.Challenge || s.Renamed != "" {
			t.Errorf("a mail that was deferred, and may have been passed on: %+v", s)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		h.reopen()
		for _, id := range []string{id, "own-" + id} {
			if s := sent(id); s == nil || s.Ref != a.Challenge || s.MessageID != p.seen[0] || s.Renamed != "own-"+p.seen[0] || s.Sender != "recorder" {
				t.Errorf("%s: %+v", id, s)
			}
		}
		want(t, sent("own-x"+id) == nil, true)
		steps := h.attempts(alice)[0].Steps
		want(t, steps[1].MessageID, id)
		want(t, steps[2].MessageID, "own-"+id)
		time.Sleep(30*24*time.Hour - 11*time.Second)
		want(t, sent(id) != nil, true)
		time.Sleep(time.Minute)
		want(t, sent(id) == nil, true)
	})
}
