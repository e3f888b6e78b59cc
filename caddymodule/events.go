package caddymodule

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// observeList reports what became of a file: list.
func (a *App) observeList(e authcore.ListEvent) {
	countList(e)
	log := a.log.With(zap.String("file", e.Path), zap.Stringer("state", e.State))
	switch e.State {
	case authcore.ListGood:
		log.Info("list of people taken over", zap.Int("entries", e.Entries))
	case authcore.ListBadLines:
		lines := make([]string, len(e.Bad))
		for i, bad := range e.Bad {
			lines[i] = fmt.Sprintf("line %d: %s", bad.Line, bad.Problem)
		}
		log.Error("list of people taken over without its bad lines, which admit nobody; mend them",
			zap.Int("entries", e.Entries), zap.Int("bad_lines", e.BadLines), zap.Strings("bad", lines))
	case authcore.ListHeld:
		log.Error("list of people can't be read; what it held stays in force for 60 s, and in deny without limit", zap.String("problem", e.Problem))
	case authcore.ListRefused:
		log.Error("list of people could not be read for 60 s and admits nobody now", zap.String("problem", e.Problem))
	}
}
