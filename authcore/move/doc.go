// Package move takes the state of an instance out and in, as lines of JSON: to
// another machine, another store, another version.
//
//	mover := move.New(config)
//	count, err := mover.Export(ctx, w, keys)
//	imported, err := mover.Import(ctx, r)
//
// An import checks every line before it changes anything (importcheck.go), adds
// and never deletes, and brings back nothing that was ended or deleted here.
//
// It knows no HTTP and no file. It holds no state of the process.
package move
