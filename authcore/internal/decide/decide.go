// Package decide runs transactions that come to a verdict. Unless that is Accepted,
// nothing is written. It has no state.
package decide

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// errUndo ends a transaction whose outcome is a "no", though something was put
// already.
var errUndo = errors.New("nothing to commit")

// Update is store.Update for what comes to a verdict.
func Update[T any](ctx context.Context, s store.Store, fn func(store.Tx) (T, event.Verdict, error)) (T, event.Verdict, error) {
	return verdictOf(ctx, s.Update, fn)
}

// View is store.View for what comes to a verdict.
func View[T any](ctx context.Context, s store.Store, fn func(store.Tx) (T, event.Verdict, error)) (T, event.Verdict, error) {
	return verdictOf(ctx, s.View, fn)
}

func verdictOf[T any](ctx context.Context, run func(context.Context, func(store.Tx) error) error, fn func(store.Tx) (T, event.Verdict, error)) (T, event.Verdict, error) {
	var got T
	var v event.Verdict
	err := run(ctx, func(tx store.Tx) (err error) {
		if got, v, err = fn(tx); err == nil && v != event.Accepted {
			err = errUndo
		}
		return err
	})
	if err != nil && !errors.Is(err, errUndo) {
		var none T
		return none, event.Unknown, err
	}
	return got, v, nil
}
