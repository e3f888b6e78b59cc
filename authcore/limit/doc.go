// Package limit counts: how often something may happen in any span of time, and
// how long until it may happen again.
//
//	all := limits.Client(addr)
//	err := all.Load(tx)
//	wait := all.Wait(now) // 0: now
//	all.Count(tx, now)
//
// Counters stand in the store and are exact; a Meter is this process's own and
// bounds load, not guesses. It knows addresses and networks, and nothing of what
// is counted.
//
// State of the process: what a Meter has counted. What the outbox has counted ahead of
// all mails is the outbox's.
package limit
