package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// reading is what a call wants to read together with others.
type reading struct {
	ctx  context.Context
	keys []string
	answer
	err error
}

// answer is what the database says of records.
type answer struct {
	whole bool             // the commits that must be there are
	all   map[string]named // absent: there is none
}

// named is a record, and what it names as read after it.
type named struct {
	row
	ahead []string
}

// found is a record as a statement tells it.
type found struct {
	version *int64
	value   *string
	raw     []byte
	expires *int64 // microseconds
}

func (f found) row() (r row) {
	if f.version != nil {
		r.version = *f.version
	}
	if r.value = f.raw; f.value != nil {
		r.value = []byte(*f.value)
	}
	if f.expires != nil {
		r.expires = time.UnixMicro(*f.expires)
	}
	return r
}

// get reads keys, and what their records name, on one connection.
func (s *Store) get(ctx context.Context, conn *pgx.Conn, keys []string, carried []int64, before ...string) (got answer, err error) {
	got.all = make(map[string]named, len(keys))
	err = s.trip(ctx, conn, func(rows pgx.Rows) error {
		var key *string
		var f found
		var ahead []string
		err := rows.Scan(&got.whole, &key, &f.version, &f.value, &f.raw, &f.expires, &ahead)
		if err == nil && key != nil {
			got.all[*key] = named{f.row(), ahead}
		}
		return err
	}, getRecords, []any{keys, s.at(), carried}, before...)
	if err == nil && !got.whole {
		s.lose(carried)
	}
	return got, err
}

// takeReads parts as many as go together.
func takeReads(all []*waiting[*reading]) (next, rest []*waiting[*reading]) {
	n := min(len(all), mostTogether)
	return all[:n:n], all[n:]
}

// readAll answers to all in one statement.
func (s *Store) readAll(all []*reading) (answered bool) {
	var keys []string
	for _, r := range all {
		s.trips(r.ctx)
		keys = append(keys, r.keys...)
	}
	var got answer
	err := s.onConn(s.background, func(conn *pgx.Conn) error {
		carried, err := s.history.required()
		if err == nil {
			got, err = s.get(s.background, conn, keys, carried)
		}
		return err
	})
	for _, r := range all {
		r.answer, r.err = got, err
	}
	return !isLost(err)
}
