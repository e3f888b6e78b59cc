// Package event is what happened, as plain values: an Event is what the audit log
// and the metrics hear, a Verdict what came of a call. It knows neither who asks
// nor who listens, and names places and letters as text.
//
// State of the process: none.
package event
