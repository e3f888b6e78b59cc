package authcore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/memstore"
	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

func (h *house) export(keys bool) string {
	h.t.Helper()
	var out bytes.Buffer
	if _, err := h.core.Move().Export(h.t.Context(), &out, keys); err != nil {
		h.t.Fatal(err)
	}
	return out.String()
}

// twin is another instance with the same secret and an empty store.
func (h *house) twin() *house {
	twin := &house{t: h.t, store: memstore.New(), sender: &recorder{}, secrets: h.secrets, config: h.config}
	twin.config.Senders = []outbox.Sender{twin.sender}
	twin.open()
	return twin
}

// contents are all records but those that differ between instances anyway.
func (h *house) contents() map[string]string {
	h.t.Helper()
	all := map[string]string{}
	err := h.store.View(h.t.Context(), func(tx store.Tx) error {
		items, err := tx.Scan("", "", 1<<20)
		for _, item := range items {
			all[item.Key] = string(item.Value)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	delete(all, "census") // written beside everything else
	return all
}

func TestExportAndImport(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		b := h.browser()
		live := b.signIn(alice)
		dead := h.browser().signIn(mustAddress("bob@example.com"))
		h.core.Rename(t.Context(), live.Session.Subject, "Alice <&>")
		h.core.Sessions().End(t.Context(), dead.Session.ID, "revoked")
		text := h.export(true)
		for _, secret := range []string{live.Token, dead.Token, b.Device, b.Flow} {
			if strings.Contains(text, secret) {
				t.Fatal("the export holds a cookie")
			}
		}
		twin := h.twin()
		defer twin.close()
		done, err := twin.core.Move().Import(t.Context(), strings.NewReader(text))
		want(t, err, nil)
		want(t, done, move.Imported{Exported: move.Exported{People: 2, Sessions: 2, Keys: 1}})
		session, err := twin.service.Sessions().Check(t.Context(), live.Token, site)
		want(t, err, nil)
		want(t, session.Name, "Alice <&>")
		session, _ = twin.service.Sessions().Check(t.Context(), dead.Token, site)
		want(t, session, nil)
		want(t, twin.core.Status().Sessions, 1)

		// The same again changes nothing, and what it exports is the same.
		before := twin.contents()
		done, err = twin.core.Move().Import(t.Context(), strings.NewReader(text))
		want(t, err, nil)
		want(t, done, move.Imported{Unchanged: 5})
		after := twin.contents()
		want(t, len(after), len(before))
		for key, value := range before {
			want(t, after[key], value)
		}
		want(t, body(twin.export(false)), body(h.export(false)))
	})
}

// body is an export without the head, which holds the time.
func body(export string) string {
	_, rest, _ := strings.Cut(export, "\n")
	return rest
}

func TestExportHasNoKeysUnlessAsked(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.browser().signIn(alice)
		if text := h.export(false); strings.Contains(text, `"key"`) || strings.Contains(text, "wrapped") {
			t.Fatal(text)
		}
	})
}

// An ended session stays ended, whichever side knows it.
func TestImportNeverRevives(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		signIn := h.browser().signIn(alice)
		before := h.export(true)
		h.core.Sessions().End(t.Context(), signIn.Session.ID, "revoked")
		after := h.export(true)
		twin := h.twin()
		defer twin.close()
		for _, text := range []string{before, after, before} {
			_, err := twin.core.Move().Import(t.Context(), strings.NewReader(text))
			want(t, err, nil)
			session, _ := twin.service.Sessions().Check(t.Context(), signIn.Token, site)
			want(t, session != nil, text == before && len(twin.sessionsOf(signIn.Session.Subject)) == 1)
		}
		session, _ := twin.service.Sessions().Check(t.Context(), signIn.Token, site)
		want(t, session, nil)
		_, err := h.core.Keys().Rotate(t.Context(), true)
		want(t, err, nil)
		_, err = h.core.Move().Import(t.Context(), strings.NewReader(before))
		if err == nil {
			t.Fatal("a revoked key was taken back")
		}
	})
}

// The file of an instance changes nothing there, also once all was revoked: its
// key is as old as that.
func TestImportAfterEverythingWasRevoked(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		h.browser().signIn(alice)
		before := h.export(true)
		for range 2 {
			_, err := h.core.Keys().Rotate(t.Context(), true)
			want(t, err, nil)
			after := h.export(true)
			for range 2 {
				_, err = h.core.Move().Import(t.Context(), strings.NewReader(after))
				want(t, err, nil)
			}
			want(t, h.export(true) == after, true)
			if _, err = h.core.Move().Import(t.Context(), strings.NewReader(before)); err == nil {
				t.Fatal("a revoked key was taken back")
			}
			before = after
		}
	})
}

func TestImportRefusesBrokenLines(t *testing.T) {
	const (
		person  = `{"type":"person","sub":"s1","email":"ann@example.com","created":"1999-01-01T00:00:00Z"}`
		session = `{"type":"session","sid":"x1","sub":"s1","iss":"https://app.example.com","aud":"https://app.example.com","auth_time":"%s","expires":"%s","last_seen":"%[1]s","amr":["email"]}`
	)
	run(t, func(t *testing.T, h *house) {
		taken := h.browser().signIn(alice).Session.Subject
		now := h.service.Now()
		good := fmt.Sprintf(session, now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
		export := h.export(true)
		before := h.contents()
		for name, text := range map[string]string{
			"not JSON":              person + "\nnonsense\n",
			"cut off":               person + "\n" + good[:40],
			"unknown type":          person + "\n{\"type\":\"flow\"}\n",
			"unknown field":         person + "\n" + strings.Replace(person, `"sub"`, `"evil":1,"sub"`, 1),
			"two addresses":         person + "\n" + strings.Replace(person, "ann@", "eve@", 1),
			"two subjects":          person + "\n" + strings.Replace(person, "s1", "s2", 1),
			"no address":            person + "\n" + `{"type":"person","sub":"s3"}`,
			"bad address":           person + "\n" + `{"type":"person","sub":"s3","email":"a@b@c"}`,
			"address taken here":    person + "\n" + `{"type":"person","sub":"s3","email":"alice@example.com"}`,
			"subject taken here":    person + "\n" + `{"type":"person","sub":"` + taken + `","email":"eve@example.com"}`,
			"path in an id":         person + "\n" + `{"type":"person","sub":"../meta","email":"eve@example.com"}`,
			"hidden name":           person + "\n" + `{"type":"person","sub":"s3","email":"eve@example.com","name":"a\u202eb"}`,
			"session of nobody":     person + "\n" + strings.Replace(good, `"sub":"s1"`, `"sub":"s9"`, 1),
			"session of years":      person + "\n" + fmt.Sprintf(session, now.Format(time.RFC3339), now.AddDate(1, 0, 0).Format(time.RFC3339)),
			"session of the future": person + "\n" + fmt.Sprintf(session, now.Add(time.Hour).Format(time.RFC3339), now.Add(2*time.Hour).Format(time.RFC3339)),
			"bad time":              person + "\n" + fmt.Sprintf(session, "yesterday", now.Format(time.RFC3339)),
			"key of another secret": person + "\n" + `{"type":"key","kid":"k","alg":"EdDSA","created":"1999-01-01T00:00:00Z","secret":"ff","wrapped":"AAAA"}`,
			"too long":              person + "\n" + strings.Repeat("x", 70_000),
			"newer format":          "\n" + `{"type":"gatehouse","format":99,"at":"1999-01-01T00:00:00Z"}`,
		} {
			_, err := h.core.Move().Import(t.Context(), strings.NewReader(text))
			refused := new(move.LineError)
			if !errors.As(err, &refused) || refused.Line != 2 || refused.Problem == "" {
				t.Fatalf("%s: %v", name, err)
			}
			if said := err.Error(); strings.Contains(said, "a@b") || strings.Contains(said, "ann@") || strings.Contains(said, "eve@") || strings.Contains(said, "alice@") {
				t.Fatalf("%s: the error repeats an address: %v", name, err)
			}
		}
		// Every shorter part of an export is refused.
		for cut := 1; cut < len(export)-1; cut += 7 {
			_, err := h.core.Move().Import(t.Context(), strings.NewReader(export[:cut]))
			if refused := new(move.LineError); !errors.As(err, &refused) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		after := h.contents()
		want(t, len(after), len(before))
		for key, value := range before {
			want(t, after[key], value)
		}
		_, err := h.core.Move().Import(t.Context(), strings.NewReader(person+"\n\n"+good))
		want(t, err, nil)
		want(t, len(h.sessionsOf("s1")), 1)
	})
}

// An import that is interrupted goes on where it stopped.
func TestImportIsResumable(t *testing.T) {
	run(t, func(t *testing.T, h *house) {
		var text strings.Builder
		const n = 1000
		for i := range n {
			fmt.Fprintf(&text, `{"type":"person","sub":"s%d","email":"p%[1]d@example.com"}`+"\n", i)
		}
		real := h.store
		broken := &failing{Store: real, after: 1 << 30}
		h.reopenOn(broken)
		synctest.Wait()
		broken.after = 2
		_, err := h.core.Move().Import(t.Context(), strings.NewReader(text.String()))
		if !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		broken.after = 1 << 30
		done, err := h.core.Move().Import(t.Context(), strings.NewReader(text.String()))
		want(t, err, nil)
		want(t, done.People+done.Unchanged, n)
		want(t, done.Unchanged > 0, true)
		want(t, done.People > 0, true)
	})
}

var errDisk = errors.New("disk on fire")

// failing is a store whose updates fail from some number on.
type failing struct {
	store.Store
	after int
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.after--; f.after < 0 {
		return errDisk
	}
	return f.Store.Update(ctx, fn)
}
