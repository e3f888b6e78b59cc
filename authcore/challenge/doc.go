// Package challenge is one code and link sent to one recipient, from the wish for
// it to the proof. Browsers and apps ask the same Engine:
//
//	c, wait, err := engine.New(tx, wish)     // counters, decoys, tries
//	err = engine.Put(tx, c, true)            // the record, and its history
//	c, err = challenge.Open(tx, id)          // dead if its recipient did not ask
//	result, err := engine.Answer(tx, c, text, by) // compare, count, lock
//	err = engine.Use(tx, c, "code", session) // one of many right answers
//	err = engine.Open(tx, c)                 // an app's, whose link shows the code
//	c.Wait, c.Refer; e.Admit                 // while mail is down: an operator's word
//
// All that a call reads is named by what leads to the challenge (a Lead), and is
// read at once. It knows the flow and the device cookie of a browser, by their
// hashes. It knows no session, no person and no mail: what belongs to an app, or
// to who sends, stands in a challenge as the bytes of the room above.
//
// State of the process: History remembers starts that stored nothing, and an
// Alarm counts the wrong codes of a day.
package challenge
