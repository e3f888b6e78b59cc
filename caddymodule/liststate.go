package caddymodule

import (
	"fmt"
	"maps"
	"sync"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// listStates is what became of the file: lists of one configuration, by path.
// It belongs to the configuration, so that the metrics of a list go with it and
// one that was mended by a reload is good.
type listStates struct {
	mu  sync.Mutex
	now map[string]policy.ListEvent
}

// begin notes that all lists were read whole.
func (l *listStates) begin(paths []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = map[string]policy.ListEvent{}
	for _, path := range paths {
		l.now[path] = policy.ListEvent{Path: path, State: policy.ListGood}
	}
}

func (l *listStates) note(e policy.ListEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[e.Path] = e
}

func (l *listStates) all() map[string]policy.ListEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.now)
}

// observeList reports what became of a file: list.
func (a *App) observeList(e policy.ListEvent) {
	a.listStates.note(e)
	log := a.log.With(zap.String("file", e.Path), zap.Stringer("state", e.State))
	switch e.State {
	case policy.ListGood:
		log.Info("list of people taken over", zap.Int("entries", e.Entries))
	case policy.ListBadLines:
		lines := make([]string, len(e.Bad))
		for i, bad := range e.Bad {
			lines[i] = fmt.Sprintf("line %d: %s", bad.Line, bad.Problem)
		}
		log.Error("list of people taken over without its bad lines, which admit nobody; mend them",
			zap.Int("entries", e.Entries), zap.Int("bad_lines", e.BadLines), zap.Strings("bad", lines))
	case policy.ListEmptied:
		log.Warn("list of people is empty now and names nobody any more; if that was not meant, put the file back",
			zap.Int("entries_before", e.Entries))
	case policy.ListRestless:
		log.Warn("list of people is written to without a pause: its whole lines are in force, and in deny also what it held before; write it under another name and rename it",
			zap.Int("entries", e.Entries))
	case policy.ListHeld:
		log.Error("list of people can't be read; what it held stays in force for 60 s, and in deny without limit", zap.String("problem", e.Problem))
	case policy.ListRefused:
		log.Error("list of people could not be read for 60 s and admits nobody now", zap.String("problem", e.Problem))
	}
}
