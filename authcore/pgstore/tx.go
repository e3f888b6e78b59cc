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

// tx is one run of a transaction's function. Its snapshot begins with the first
// read, in the same round trip.
type tx struct {
	s     *Store
	ctx   context.Context
	conn  *pgxpool.Conn
	began bool
	read  map[string]row // what was read, absent or not
	err   error          // of the first read that failed

	carried []int64 // commits that the snapshot must have; nil once that was looked for

	turn  *turn
	known map[string]row // by the run before; may be so no more, which the commit finds out
	lost  []string       // keys that somebody else has changed since they were read, or is about to

	mayGuess, guessed bool // from what was read a moment ago
	beside            bool // while something is lost, by who puts it back

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

func (s *Store) begin(ctx context.Context, t *tx) (err error) {
	t.s, t.ctx, t.read, t.writes = s, ctx, map[string]row{}, map[string]write{}
	if !t.beside {
		t.carried = s.history.carried()
	}
	t.conn, err = s.acquire(ctx)
	return err
}

// end gives the connection back. Nobody waits for the end of a snapshot.
func (t *tx) end() {
	if t.conn == nil {
		return
	}
	conn := t.conn
	t.conn = nil
	if !t.began || conn.Conn().IsClosed() {
		release(conn)
		return
	}
	t.s.idle.Go(func() {
		defer release(conn)
		ctx, cancel := context.WithTimeout(context.Background(), silence)
		defer cancel()
		_, _ = conn.Exec(ctx, giveUp)
	})
}

// ask is a round trip in the snapshot.
func (t *tx) ask(take func(pgx.Rows) error, sql string, args ...any) error {
	if t.err != nil {
		return t.err
	}
	var before []string
	if !t.began {
		before, t.began = []string{beginRead}, true
	}
	if err := t.s.trip(t.ctx, t.conn.Conn(), take, sql, args, before...); err != nil {
		t.err = err
		return explain(err)
	}
	return nil
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
	}
	return t.fetch(missing)
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
	var named []string
	wanted, all := make(map[string]bool, len(keys)), make(map[string]row, len(keys))
	for _, key := range keys {
		wanted[key] = true
	}
	whole := true
	err := t.ask(func(rows pgx.Rows) error {
		var key *string
		var r found
		var ahead []string
		if err := rows.Scan(&whole, &key, &r.version, &r.value, &r.raw, &r.expires, &ahead); err != nil || key == nil {
			return err
		}
		if all[*key] = r.row(); wanted[*key] {
			named = append(named, ahead...)
		}
		return nil
	}, getRecords, keys, t.s.at(), t.carried)
	if err != nil {
		return err
	}
	if !whole {
		t.s.lose(t.carried)
		t.err = store.ErrLost
		return t.err
	}
	t.carried = nil
	for _, key := range keys {
		t.read[key] = all[key]
	}
	for _, key := range named {
		if _, known := t.read[key]; !known {
			t.read[key] = all[key]
		}
	}
	return nil
}

// found is a record as a statement tells it.
type found struct {
	version *int64
	value   *string
	raw     []byte
	expires *int64 // microseconds
}

func (f found) row() row {
	r := row{version: *f.version, value: valueOf(f.value, f.raw)}
	if f.expires != nil {
		r.expires = time.UnixMicro(*f.expires)
	}
	return r
}

func valueOf(value *string, raw []byte) []byte {
	if raw != nil {
		return raw
	}
	if value == nil {
		return nil
	}
	return []byte(*value)
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
func (t *tx) Scan(prefix, after string, limit int) ([]store.Item, error) {
	if limit <= 0 {
		return nil, nil
	}
	var items []store.Item
	err := t.ask(func(rows pgx.Rows) error {
		var item store.Item
		var value *string
		var raw []byte
		var expires *int64
		if err := rows.Scan(&item.Key, &value, &raw, &expires); err != nil {
			return err
		}
		if item.Value = valueOf(value, raw); expires != nil {
			item.Expires = time.UnixMicro(*expires).UTC()
		}
		items = append(items, item)
		return nil
	}, scanRecords, after, prefix, behind(prefix), t.s.at(), int64(limit))
	return items, err
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
