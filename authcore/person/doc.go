// Package person is who is known here: somebody who has signed in at a gate, or
// whom an app knows by addresses and numbers.
//
// A Record is what the store keeps, a Person what apps are shown of it. New or
// ForAddress make one, and Whom.NewAsked one who is nobody yet; Load, LoadIn, Find
// and Whom.Find find one; Draft changes
// it; Prove, IsNamedBy and Part are what comes of a proof; SentTo and Span tell whether
// something that was sent to a contact still reaches the same holder.
//
// It knows nothing of challenges, sessions, organizations and configured apps,
// and who calls it stores what leads elsewhere. State of the process: none.
package person
