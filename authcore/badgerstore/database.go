package badgerstore

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

const (
	// memTableSize bounds a memory table and the part of its log that is
	// filled; the log's file is twice as long. It also bounds one transaction,
	// to 15 % of it, which has to hold a few values of 64 KiB.
	memTableSize = 4 << 20
	memFileSize  = 2 * memTableSize

	// valueLogSize is Badger's least. Values never go there, because all are
	// below valueThreshold: then there is no value log to collect garbage
	// from, and no pointer that a crash could leave dangling.
	valueLogSize   = 1 << 20
	valueThreshold = 128 << 10

	discardFileSize = 1 << 20 // Badger's statistics of the value log

	// blockSize is four times Badger's: opening reads an index of all blocks.
	blockSize = 16 << 10
)

// dbOptions keep Badger small: an idle store maps files and holds next to
// nothing itself, also with a million records.
func dbOptions(dir string, log *slog.Logger, r *room) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithBypassLockGuard(homeLocks).
		WithDetectConflicts(false).
		WithMetricsEnabled(false).
		WithLogger(dbLog{log, r}).
		WithMemTableSize(memTableSize).
		WithNumMemtables(2).
		WithNumLevelZeroTables(4).
		WithNumLevelZeroTablesStall(12).
		WithNumCompactors(2).
		WithBaseTableSize(2 << 20).
		WithBaseLevelSize(8 << 20).
		WithBlockSize(blockSize).
		WithValueLogFileSize(valueLogSize).
		WithValueThreshold(valueThreshold).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithChecksumVerificationMode(options.OnBlockRead)
}

// openDB opens Badger in h, once its tables have been read, with room for what
// it is going to write.
func openDB(h *home, r *room, log *slog.Logger) (*badger.DB, error) {
	opts := dbOptions(h.dir, log, r)
	if err := checkTables(h.dir, opts); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		r.close()
		return nil, err
	}
	if err := guarded(); err != nil {
		log.Warn("store can't keep a full disk from ending the process: leave room on it", "dir", h.dir, "why", err)
	}
	db, err := openBadger(opts)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("opening %s: %w: if a file is damaged, restore the directory from a backup", h.dir, cause(err))
	}
	if err := h.finish(); err != nil {
		_ = db.Close()
		r.close()
		return nil, err
	}
	r.opened()
	return db, nil
}

// openBadger turns a panic over a damaged file into an error.
func openBadger(opts badger.Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a file is damaged: %v", p)
		}
	}()
	return badger.Open(opts)
}

// dbLog passes on what Badger warns of. Of its arguments only errors are
// logged, stripped to their cause: the others hold keys.
type dbLog struct {
	log  *slog.Logger
	room *room
}

func (l dbLog) Errorf(format string, args ...any) {
	if strings.HasPrefix(format, "error flushing memtable") {
		l.room.unwritten.Store(true)
	}
	l.log.Error("badger: "+what(format), errorsIn(args)...)
}
func (l dbLog) Warningf(format string, args ...any) {
	l.log.Warn("badger: "+what(format), errorsIn(args)...)
}
func (dbLog) Infof(string, ...any)  {}
func (dbLog) Debugf(string, ...any) {}

func what(format string) string {
	format, _, _ = strings.Cut(format, "%")
	return strings.Trim(format, " :\n")
}

func errorsIn(args []any) (attrs []any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			attrs = append(attrs, "error", cause(err))
		}
	}
	return attrs
}
