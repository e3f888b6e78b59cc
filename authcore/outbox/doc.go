// Package outbox sends what must go out and survive a restart: mails and text
// messages.
//
//	o.Count, o.Put(tx, entry)     in the transaction that makes what the entry is about
//	o.Add(entry)                  once that is committed
//	o.Run                         picks what is due, and asks Letters what it says now
//	Composer, Sender              words, and the mail systems in their order
//	Config.Tell                   what came of it, in the transaction that takes it off
//	o.Sent                        what a Message-ID, ours or a sender's own, stands for
//	o.Keep, o.Kept                secrets of senders that change, wrapped
//	o.Down, o.Delayed, o.Senders  how that goes
//	o.Maybe                       what was handed over and not answered for
//	o.Tried                       how a message beside the queue went
//
// An entry holds neither a secret nor, in the store, an address: its letter is
// rebuilt each time, so that sending again repeats it. The outbox does not know
// what an entry is about, who may sign in, or how a mail looks.
//
// Where several nodes share the store, each sends what it queued, and what one that
// is gone has left (nodes.go).
//
// State of the process: which entries wait, read from the store at the start, with
// their retries; how each sender has fared; and, where nodes share the store, how many
// mails were counted ahead for Limits.Global (budget.go).
package outbox
