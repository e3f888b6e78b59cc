package pgstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// tx is one run of a transaction's function. That of a View reads in a snapshot, which
// begins with the first read, in the same round trip. That of an Update reads together
// with others (reads.go): its commit finds out whether all of that was so at once.
type tx struct {
	s             *Store
	ctx           context.Context
	as            kind
	called, until time.Time // when the call began, and when it is given up
	apart         bool      // all is read in one snapshot
	conn          *pgxpool.Conn
	began         bool           // the snapshot, with its first read
	whole         bool           // the snapshot has the commits that it must have
	loose         bool           // something was read, outside of it
	read          map[string]row // what was read, absent or not
	err           error          // of the first read that failed

	turn  *turn
	known map[string]row // by the run before; may be so no more, which the commit finds out
	moved bool           // somebody else has changed what was read, which has what is known now

	mayGuess bool // from what was read a moment ago
	guessed  bool // it may rest on what never was so at once, or is so no more

	writes  map[string]write
	refused error // the first Put or Delete that was refused
}

// row is a record as it was read.
type row struct {
	version int64  // 0: there is none
	value   []byte // nil: absent or expired
	expires time.Time
	asked   bool // by the function, so that it must be so still at the commit
}

// write is what is to become of a key.
type write struct {
	value   []byte // nil: deleted
	expires time.Time
}

func (s *Store) begin(ctx context.Context, t *tx) {
	t.s, t.ctx, t.read, t.writes = s, ctx, map[string]row{}, map[string]write{}
}

// end gives the connection back. Nobody waits for the end of a snapshot.
func (t *tx) end() {
	if t.conn == nil {
		return
	}
	conn := t.conn
	t.conn = nil
	if !t.began || conn.Conn().IsClosed() {
		t.s.release(conn)
		return
	}
	t.s.idle.Go(func() {
		defer t.s.release(conn)
		ctx, cancel := context.WithTimeout(context.Background(), silence)
		defer cancel()
		_, _ = conn.Exec(ctx, giveUp)
	})
}

// snapshot has a connection for the transaction alone, and returns what is to be said on
// it before anything else.
func (t *tx) snapshot() (before []string, err error) {
	if t.conn == nil {
		if t.conn, err = t.s.acquire(t.ctx); err != nil {
			return nil, err
		}
	}
	if !t.began {
		before, t.began = []string{beginRead}, true
	}
	return before, nil
}

// Get implements store.Tx. What was read once is not read again.
func (t *tx) Get(keys ...string) ([][]byte, error) {
	if err := t.ReadAhead(keys...); err != nil {
		return nil, err
	}
	values, now := make([][]byte, len(keys)), t.s.Now()
	for i, key := range keys {
		if w, mine := t.writes[key]; mine {
			if w.expires.IsZero() || now.Before(w.expires) {
				values[i] = bytes.Clone(w.value)
			}
			continue
		}
		r := t.read[key]
		values[i], r.asked = bytes.Clone(r.value), true
		t.read[key] = r
	}
	return values, nil
}

// ReadAhead implements store.Reader.
func (t *tx) ReadAhead(keys ...string) error {
	var missing []string
	for _, key := range keys {
		if err := store.CheckKey(key); err != nil {
			return err
		}
		if _, mine := t.writes[key]; mine {
			continue
		}
		if _, read := t.read[key]; !read {
			missing = append(missing, key)
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case !t.began && t.guess(missing):
		t.guessed = true
		return nil
	case t.err != nil:
		return t.err
	}
	t.err = t.fetch(missing)
	return explain(t.err)
}

// guess reads keys from what is remembered, if that is all of them.
func (t *tx) guess(keys []string) bool {
	now := t.s.Now()
	if t.known != nil {
		return copyLive(keys, now, t.read, t.known)
	}
	return t.mayGuess && t.s.recent.tell(keys, now, t.read)
}

// fetch reads keys, and what their records name.
func (t *tx) fetch(keys []string) error {
	if t.began || t.apart || t.as != updating {
		return t.fetchIn(keys)
	}
	r := &reading{ctx: t.ctx, keys: keys}
	if err := t.s.reads.do(t.ctx, r, t.until); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	t.guessed = t.guessed || t.loose
	t.loose = true
	return t.take(keys, r.answer)
}

// fetchIn reads keys in the snapshot.
func (t *tx) fetchIn(keys []string) error {
	before, err := t.snapshot()
	if err != nil {
		return err
	}
	var carried []int64
	if !t.whole && t.as != besideIt {
		if carried, err = t.s.history.required(); err != nil {
			return err
		}
	}
	got, err := t.s.get(t.ctx, t.conn.Conn(), keys, carried, before...)
	if err != nil {
		return err
	}
	t.whole = got.whole
	return t.take(keys, got)
}

// take notes what was answered to keys.
func (t *tx) take(keys []string, got answer) error {
	if !got.whole {
		return store.ErrLost
	}
	for _, key := range keys {
		found := got.all[key]
		t.read[key] = found.row
		for _, named := range found.ahead {
			if _, known := t.read[named]; !known {
				t.read[named] = got.all[named].row
			}
		}
	}
	return nil
}

// Put implements store.Tx.
func (t *tx) Put(key string, value []byte, expires time.Time) {
	err := store.CheckRecord(key, value)
	if err == nil && !json.Valid(value) {
		err = errors.New("store: value is not JSON")
	}
	t.write(key, write{bytes.Clone(value), expires}, err)
}

// Delete implements store.Tx.
func (t *tx) Delete(key string) { t.write(key, write{}, store.CheckKey(key)) }

func (t *tx) write(key string, w write, err error) {
	if t.refused == nil {
		t.refused = err
	}
	t.writes[key] = w
}

// Scan implements store.Tx.
func (t *tx) Scan(prefix, after string, limit int) (items []store.Item, err error) {
	if limit <= 0 {
		return nil, nil
	}
	if err := t.scan(prefix, after, limit, &items); err != nil {
		t.err = err
		return nil, explain(err)
	}
	return items, nil
}

func (t *tx) scan(prefix, after string, limit int, items *[]store.Item) error {
	if t.err != nil {
		return t.err
	}
	t.guessed = t.guessed || t.loose
	before, err := t.snapshot()
	if err == nil && t.as != besideIt {
		_, err = t.s.history.required()
	}
	if err != nil {
		return err
	}
	return t.s.trip(t.ctx, t.conn.Conn(), func(rows pgx.Rows) error {
		var key string
		var f found
		if err := rows.Scan(&key, &f.value, &f.raw, &f.expires); err != nil {
			return err
		}
		r := f.row()
		*items = append(*items, store.Item{Key: key, Value: r.value, Expires: r.expires.UTC()})
		return nil
	}, scanRecords, []any{after, prefix, behind(prefix), t.s.at(), int64(limit)}, before...)
}

// behind is the first key behind all that begin with prefix, empty for none.
func behind(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0x7f {
			return prefix[:i] + string(rune(prefix[i]+1))
		}
	}
	return ""
}

// readOnly is the transaction of a View.
type readOnly struct{ *tx }

func (r readOnly) Get(keys ...string) ([][]byte, error) {
	values, err := r.tx.Get(keys...)
	if err == nil {
		r.s.recent.read(keys, r.tx.read)
	}
	return values, err
}

func (readOnly) Put(string, []byte, time.Time) { panic("pgstore: Put inside View") }
func (readOnly) Delete(string)                 { panic("pgstore: Delete inside View") }

// fits tells whether jsonb gives value back as it means to a reader: NUL and half a
// surrogate can't be in it, a number becomes decimal digits however many, and null is
// no row's value. What does not fit is kept as bytes.
func fits(value []byte) bool {
	if !utf8.Valid(value) {
		return false
	}
	inText := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			inText = !inText
		case inText && c == '\\':
			if i++; value[i] == 'u' && (bytes.HasPrefix(value[i+1:], []byte("0000")) || value[i+1] == 'd' || value[i+1] == 'D') {
				return false
			}
		case !inText && (c == 'E' || c == 'e' && !bytes.HasSuffix(value[:i], []byte("tru")) && !bytes.HasSuffix(value[:i], []byte("fals"))):
			return false
		}
	}
	return true
}

// errFirst: others have changed what was read.
var errFirst = fmt.Errorf("the database: others changed the same records each time within %v", patience)
