package event

import "fmt"

// Verdict is what came of a call. Everything but Accepted is a "no" that the
// person can be told about; "cannot tell" is an error, never a Verdict.
type Verdict int

const (
	// Accepted: done as asked.
	Accepted Verdict = iota
	// Limited: too many starts or mails; try again after RetryAfter.
	Limited
	// MailDown: no sender takes mail, or the queue is full.
	MailDown
	// NoFlow: this browser has no sign-in under way.
	NoFlow
	// Malformed: not exactly the right number of digits; no try was counted.
	Malformed
	// Wrong: a wrong code, counted; TriesLeft are left.
	Wrong
	// Locked: too many wrong codes for this challenge; code and link are dead.
	Locked
	// CodesOff: too many wrong codes for this address; only its link works.
	CodesOff
	// Expired: code and link are too old.
	Expired
	// Used: code and link have done their work.
	Used
	// Unknown: no such link.
	Unknown
	// OtherBrowser: the link is good, but this browser did not ask for it.
	OtherBrowser
	// Taken: what must be somebody's alone is another's.
	Taken
	// NotYet: the link that is waited for was not used yet.
	NotYet
	// Mismatch: the device is not the one that asked; nothing was spent.
	Mismatch
	// Forbidden: the role does not allow it.
	Forbidden
)

var verdictNames = [...]string{"accepted", "limited", "mail_down", "no_flow", "malformed", "wrong_code", "locked", "codes_off", "expired", "used", "unknown", "other_browser", "taken", "not_yet", "mismatch", "forbidden"}

// String returns the verdict's stable name, as used in logs and metrics.
func (v Verdict) String() string {
	if v >= 0 && int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", int(v))
}
