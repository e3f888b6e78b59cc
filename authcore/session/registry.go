package session

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Info is a session as people and operators see it in a list.
type Info struct {
	ID       string
	Subject  string
	Address  address.Address
	Name     string
	Issuer   string // where the person signed in
	Audience string // where it is good
	Sites    []string
	AMR      []string
	Method   string // "code" or "link"
	AuthTime time.Time
	LastSeen time.Time
	Expires  time.Time
	Agent    string
	Network  string
	Public   bool   // on a computer that others use too
	Parent   string // sid of the portal's session that this one ends with, empty for none
	Machine  string // name of the machine token that this is, empty for a browser's
}

// Browsers leaves out machine tokens, and shows those that were handed over
// from a portal as sites of the session that they end with.
func Browsers(list []Info) []Info {
	roots := map[string]int{}
	var out []Info
	for _, s := range list {
		if s.Parent == "" && s.Machine == "" {
			roots[s.ID] = len(out)
			out = append(out, s)
		}
	}
	for _, s := range list {
		root, known := roots[s.Parent]
		switch {
		case s.Parent == "" || s.Machine != "":
		case !known:
			out = append(out, s)
		default:
			for _, site := range s.Sites {
				if !slices.Contains(out[root].Sites, site) {
					out[root].Sites = append(out[root].Sites, site)
				}
			}
		}
	}
	return out
}

// MaxPage bounds a page of a list.
const MaxPage = 1000

// scanAhead is how many times a page's worth of records is looked at for one:
// those that have ended stay in the store for a while. A page may be short, or
// empty, although more follows.
const scanAhead = 4

// List returns a page of the live sessions of everybody, in the order of
// their ids, after the id after (empty: from the beginning). next is what to
// pass as after for the next page, empty at the end.
func (c *Core) List(ctx context.Context, after string, limit int) (page []Info, next string, err error) {
	type part struct {
		page []Info
		next string
	}
	got, err := store.View(ctx, c.store, func(tx store.Tx) (got part, err error) {
		var records []*Record
		if records, got.next, err = c.scanSessions(tx, after, PageSize(limit)); err == nil {
			got.page, err = c.withPeople(tx, records)
		}
		return got, err
	})
	return got.page, got.next, err
}

// scanSessions is List before whose they are is known.
func (c *Core) scanSessions(tx store.Tx, after string, limit int) (records []*Record, next string, err error) {
	if after != "" {
		after = store.KeySession + after
	}
	for range scanAhead {
		items, err := tx.Scan(store.KeySession, after, limit+1)
		if err != nil {
			return nil, "", err
		}
		live, rest, err := c.liveRecords(tx, items, limit-len(records))
		if err != nil {
			return nil, "", err
		}
		records = append(records, live...)
		switch {
		case rest:
			return records, records[limit-1].ID, nil
		case len(items) <= limit:
			return records, "", nil
		}
		after = items[limit].Key
	}
	return records, strings.TrimPrefix(after, store.KeySession), nil
}

// Of returns the live sessions of one person, the last used first: at
// most MaxPage of them.
func (c *Core) Of(ctx context.Context, sub string) (list []Info, err error) {
	if !store.IsKeyPart(sub) {
		return nil, nil
	}
	prefix := store.KeyPersonSession + sub + "/"
	list, err = store.View(ctx, c.store, func(tx store.Tx) ([]Info, error) {
		index, err := tx.Scan(prefix, "", MaxPage*scanAhead)
		if err != nil {
			return nil, err
		}
		var records []*Record
		for batch := range slices.Chunk(index, 100) {
			items, err := sessionsAt(tx, prefix, batch)
			if err != nil {
				return nil, err
			}
			live, _, err := c.liveRecords(tx, items, MaxPage-len(records))
			if err != nil {
				return nil, err
			}
			records = append(records, live...)
		}
		return c.withPeople(tx, records)
	})
	slices.SortFunc(list, func(a, b Info) int { return b.LastSeen.Compare(a.LastSeen) })
	return list, err
}

// sessionsAt reads the sessions that index entries name.
func sessionsAt(tx store.Tx, prefix string, index []store.Item) ([]store.Item, error) {
	keys := make([]string, len(index))
	for i, item := range index {
		keys[i] = store.KeySession + strings.TrimPrefix(item.Key, prefix)
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	items := make([]store.Item, 0, len(keys))
	for i, value := range values {
		if value != nil {
			items = append(items, store.Item{Key: keys[i], Value: value})
		}
	}
	return items, nil
}

// liveRecords decodes up to limit live sessions; rest tells whether there may
// be more in items.
func (c *Core) liveRecords(tx store.Tx, items []store.Item, limit int) (records []*Record, rest bool, err error) {
	for i, item := range items {
		if len(records) >= limit {
			return records, i < len(items), nil
		}
		r := &Record{}
		if _, err := store.Decode(item.Key, item.Value, r); err != nil {
			return nil, false, err
		}
		stands, err := c.Stands(tx, r)
		if err != nil {
			return nil, false, err
		}
		if stands == Live && store.KeySession+r.ID == item.Key {
			records = append(records, r)
		}
	}
	return records, false, nil
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// withPeople adds whose the sessions are, and leaves out those of nobody.
func (c *Core) withPeople(tx store.Tx, records []*Record) ([]Info, error) {
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = store.KeyPerson + r.Subject
	}
	values, err := tx.Get(keys...)
	if err != nil {
		return nil, err
	}
	list := make([]Info, 0, len(records))
	for i, r := range records {
		p := &person.Record{}
		ok, err := store.Decode(keys[i], values[i], p)
		if err != nil {
			return nil, err
		}
		if ok && p.Subject == r.Subject {
			list = append(list, r.info(p))
		}
	}
	return list, nil
}

func (r *Record) info(p *person.Record) Info {
	out := Info{
		ID: r.ID, Subject: r.Subject, Address: r.Address(p), Name: p.Name,
		Issuer: r.Issuer, Audience: r.Audience, Sites: r.Sites, AMR: r.AMR, Method: methodOf(r.AMR),
		AuthTime: r.AuthTime, LastSeen: r.LastSeen, Expires: r.Expires,
		Agent: r.Agent, Network: r.Network, Public: r.Public, Parent: r.Parent,
	}
	if len(out.Sites) == 0 {
		out.Sites = []string{r.Issuer}
	}
	if r.Machine != nil {
		out.Machine, out.Method = r.Machine.Name, "token"
	}
	return out
}

// PageSize is how many entries a page has: limit within bounds, 100 for none.
func PageSize(limit int) int {
	if limit <= 0 {
		return 100
	}
	return min(limit, MaxPage)
}
