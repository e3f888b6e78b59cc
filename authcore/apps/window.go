package apps

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/limit"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// windowCounts are the challenges that a Window looks at: those of the contact
// and those from the client, the oldest first.
type windowCounts struct {
	contactKey, clientKey string
	Contact               []windowEntry
	Client                []windowEntry
}

// windowEntry is one challenge. Other is the hash of the client in a contact's
// list, and of the contact in a client's.
type windowEntry struct {
	At        int64  `json:"t"` // unix milliseconds
	Expires   int64  `json:"e"`
	Other     string `json:"o"`
	Challenge string `json:"c,omitempty"` // of the newest only
}

func shortHash(s string) string { return keyring.Hash(s)[:12] }

func windowKeys(r person.Realm, contact, client string) (contactKey, clientKey string) {
	base := store.KeyAPIWindow + r.String()
	return base + "/contact/" + shortHash(contact), base + "/client/" + shortHash(client)
}

// window asks the app's own rule: first of all what the client has made, then
// whether the contact has one that still lives and has had too many.
func (t *asking) window(out *Asked) (event.Verdict, error) {
	w := t.in.Window
	if w == nil {
		return event.Accepted, nil
	}
	seen := &windowCounts{}
	seen.contactKey, seen.clientKey = windowKeys(t.in.Caller.Realm(), t.to.Value, t.client())
	for key, list := range map[string]*[]windowEntry{seen.contactKey: &seen.Contact, seen.clientKey: &seen.Client} {
		if _, err := store.Load(t.tx, key, list); err != nil {
			return event.Accepted, err
		}
	}
	t.seen = seen
	from := t.now.Add(-w.Per).UnixMilli()
	count := min(w.Count, MaxWindow)
	if t.in.EndUser && recent(seen.Client, from) >= count { // all of an app's users have its server's address
		out.ByClient, out.RetryAfter = true, windowWait(seen.Client, count, w.Per, t.now)
		return event.Limited, nil
	}
	out.Attempts = recent(seen.Contact, from)
	if n := len(seen.Contact); n > 0 && out.Attempts >= count {
		if last := seen.Contact[n-1]; last.Expires > t.now.UnixMilli() {
			out.RetryAfter = windowWait(seen.Contact, count, w.Per, t.now)
			return event.Limited, t.outstanding(out)
		}
	}
	out.Attempts++
	return event.Accepted, nil
}

// outstanding shows the newest challenge of the contact, for a refusal. Counts
// go by value: one that was made for a former holder is not shown.
func (t *asking) outstanding(out *Asked) error {
	if t.seen == nil || len(t.seen.Contact) == 0 {
		return nil
	}
	last := t.seen.Contact[len(t.seen.Contact)-1]
	if c, err := loadSent(t.tx, last.Challenge); err != nil || c == nil || c.Contact != t.to.ID {
		return err
	}
	out.Challenge, out.Attempts = last.Challenge, recent(t.seen.Contact, t.now.Add(-t.in.Window.Per).UnixMilli())
	out.AskedAt, out.Expires = time.UnixMilli(last.At).UTC(), time.UnixMilli(last.Expires).UTC()
	return nil
}

// client is what a Window counts as one: an IPv6 client has a whole /64.
func (t *asking) client() string { return limit.ClientNetworks(t.in.Client)[0].String() }

func recent(list []windowEntry, from int64) int {
	n := 0
	for _, e := range list {
		if e.At > from {
			n++
		}
	}
	return n
}

// windowWait is how long until the count'th entry from the end leaves the span.
func windowWait(list []windowEntry, count int, per time.Duration, now time.Time) time.Duration {
	e := list[max(len(list)-count, 0)]
	return max(time.UnixMilli(e.At).Add(per).Sub(now), time.Second)
}

// note writes a challenge into the counts. Entries stay for the longest window
// that was asked for so far, and at most MaxWindow of them.
func (t *asking) note(c *challenge.Challenge) error {
	if t.seen == nil {
		return nil
	}
	entry := windowEntry{At: c.AskedAt.UnixMilli(), Expires: c.Expires.UnixMilli()}
	kept := c.AskedAt.Add(max(t.in.Window.Per, c.Expires.Sub(c.AskedAt)) + apiKept)
	for i := range t.seen.Contact {
		t.seen.Contact[i].Challenge = ""
	}
	byContact, byClient := entry, entry
	byContact.Other, byContact.Challenge = shortHash(t.client()), c.ID
	byClient.Other = shortHash(t.to.Value)
	if err := store.Save(t.tx, t.seen.contactKey, bounded(append(t.seen.Contact, byContact)), kept); err != nil {
		return err
	}
	if !t.in.EndUser {
		return nil
	}
	return store.Save(t.tx, t.seen.clientKey, bounded(append(t.seen.Client, byClient)), kept)
}

func bounded(list []windowEntry) []windowEntry {
	return list[max(len(list)-MaxWindow, 0):]
}

// forgetWindow takes a contact's challenges out of all counts: who has proved
// it begins anew.
func forgetWindow(tx store.Tx, r person.Realm, contact string, kept time.Time) error {
	contactKey, _ := windowKeys(r, contact, "")
	var list []windowEntry
	if ok, err := store.Load(tx, contactKey, &list); err != nil || !ok {
		return err
	}
	tx.Delete(contactKey)
	var clients []string
	for _, e := range list {
		if slices.Contains(clients, e.Other) {
			continue
		}
		clients = append(clients, e.Other)
		key := store.KeyAPIWindow + r.String() + "/client/" + e.Other
		var theirs []windowEntry
		if ok, err := store.Load(tx, key, &theirs); err != nil || !ok {
			return err
		}
		theirs = slices.DeleteFunc(theirs, func(e windowEntry) bool { return e.Other == shortHash(contact) })
		if err := store.Save(tx, key, theirs, kept); err != nil {
			return err
		}
	}
	return nil
}
