package event

import (
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
)

// Event is one thing that happened, for the audit log and the metrics. It holds
// no code, no token and no cookie. Observers get the full address and decide
// how much of it to show.
type Event struct {
	Name      string // one of the constants below
	At        time.Time
	Address   address.Address
	Mark      string // keyed hash of Address
	Subject   string
	Session   string    // sid
	Challenge string    // id of the challenge
	Expires   time.Time // of code and link, for a challenge
	Origin    string    // as text
	Client    netip.Addr
	Method    string // "code" or "link", for a sign-in
	Reason    string // for a refusal or an ending: a stable word
	Sender    string // which sender took or refused a mail
	Message   string // Message-ID of a mail, as the sender gave it on
	Letter    string // kind of a mail that is not the one to sign in with
	Detail    string // for operators: a sender's answer
	Took      time.Duration
	Waited    time.Duration // of a mail that was sent: since it was asked for
	Mail      Mail          // with which somebody signed in, for a sign-in
	App       string        // which app asked, empty for a gate
	Operator  string        // who did it, by their own word
}

// Mail is when a mail was asked for, taken by a sender, and by its domain; zero is not
// known.
type Mail struct{ Queued, Taken, Delivered time.Time }

// The names of events. They are stable: log searches and alerts rest on them.
const (
	Begin      = "challenge" // a code was asked for; Reason says why nothing was sent
	Refused    = "challenge_refused"
	MailSent   = "mail_sent"
	MailFailed = "mail_failed"
	MailReport = "mail_reported"  // by a mail system, later; Reason says what
	Answer     = "answer_refused" // Reason is the Verdict
	SignedIn   = "signed_in"
	SignedOut  = "signed_out"
	Ended      = "session_ended"
	Keys       = "keys_rotated"
	Alarm      = "wrong_codes_alarm"
	Link       = "link_opened"
	HandedOver = "handed_over"      // from the portal to a site; Reason says why not
	Token      = "machine_token"    // Reason is "made"; its end is Ended
	Revoked    = "sessions_revoked" // all of them, at once
	Account    = "account_changed"  // by its owner; Reason says how
	Deleted    = "account_deleted"
	Admin      = "admin_action" // by an operator; Reason says what
	TextSent   = "text_sent"
	TextFailed = "text_failed"
	Person     = "person_changed" // by an app; Reason says how
	Org        = "organization_changed"
	Granted    = "grant_made"         // an app has got tokens for a person
	GrantEnded = "grant_ended"        // before its time; Reason says why
	LogoutTold = "app_told_of_logout" // Reason is "given_up" if it could not be told
	NotMe      = "not_me"             // somebody said that the mails were not asked for by them
)
