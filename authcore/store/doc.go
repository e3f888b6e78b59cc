// Package store is the contract between the rules and the engines that keep
// what they need: a transactional key-value store with expiry.
//
//	err := engine.Update(ctx, func(tx store.Tx) error {
//		found, err := store.Load(tx, key, &record)
//		…
//		return store.Save(tx, key, record, expires)
//	})
//
// Engines implement Store and Tx, and pass package storetest. Values are JSON;
// used and ended are records, never the absence of one. All keys stand in one
// table (record.go), so that no two rooms write to the same place. It knows
// what no record means.
//
// State of the process: none but buffers that are used again.
package store
