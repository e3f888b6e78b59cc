package operate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/delivery"
)

// What operators are answered, in the JSON of the admin API. The commands read
// the same types.

// Status is how a running instance is.
type Status struct {
	Version   string         `json:"version"`
	Sessions  int64          `json:"sessions"`
	People    int64          `json:"people"`
	CountedAt *time.Time     `json:"counted_at"` // null until the first count
	Streams   int            `json:"streams"`
	Mail      MailStatus     `json:"mail"`
	Texts     []SenderStatus `json:"sms,omitempty"`
	Store     StoreStatus    `json:"store"`
	Keys      []KeyStatus    `json:"keys"`
	Gates     []GateStatus   `json:"gates"`
	Findings  []Finding      `json:"findings,omitempty"`
	Snippet   string         `json:"snippet,omitempty"` // the configuration of another proxy, if one was asked for
}

// MailStatus is whether mail goes out.
type MailStatus struct {
	Waiting int            `json:"waiting"`
	Maybe   int            `json:"maybe"` // of these, how many were handed over whole and not answered for
	Down    bool           `json:"down"`
	Delayed bool           `json:"delayed"` // no sender is fit
	Senders []SenderStatus `json:"senders"`
	Domains []DomainStatus `json:"domains"`
}

// DomainStatus is how mail to one domain fared within 30 days. Without a name it is
// all those together that nobody has signed in with.
type DomainStatus struct {
	Name       string `json:"domain"`
	Accepted   int    `json:"accepted"`
	Delivered  int    `json:"delivered"`
	Deferred   int    `json:"deferred"`
	Bounced    int    `json:"bounced"`
	Complained int    `json:"complained"`
	SignedIn   int    `json:"signed_in"`
	// Wait is what a mail usually waits until a server takes it, and SignIn what
	// then passes until its person signs in; null: that can't be told.
	Wait   *float64 `json:"wait_seconds"`
	SignIn *float64 `json:"sign_in_seconds"`
	Delay  float64  `json:"delay_seconds"` // what codes live longer
}

// State is down (sign-ins are refused), delayed or ok.
func (m MailStatus) State() string {
	switch {
	case m.Down:
		return "down"
	case m.Delayed:
		return "delayed"
	}
	return "ok"
}

// Failing tells whether no sender has worked at its last try, also while nothing
// waits and starts are accepted for that.
func (m MailStatus) Failing() bool {
	return m.Down || len(m.Senders) > 0 && !slices.ContainsFunc(m.Senders, func(s SenderStatus) bool { return !s.Down })
}

// SenderStatus is how one sender has fared.
type SenderStatus struct {
	Name     string     `json:"name"`
	Down     bool       `json:"down"`
	Unfit    bool       `json:"unfit"` // refuses mail to everybody, it seems
	LastSent *time.Time `json:"last_sent"`
	LastFail *time.Time `json:"last_failed"`
	Reason   string     `json:"reason,omitempty"` // of the last failure
}

// State is down, unfit or ok.
func (s SenderStatus) State() string {
	switch {
	case s.Down:
		return "down"
	case s.Unfit:
		return "unfit"
	}
	return "ok"
}

// StoreStatus is where state lives, and whether it can be written.
type StoreStatus struct {
	Dir         string   `json:"dir,omitempty"`
	Database    string   `json:"database,omitempty"` // in place of a directory
	SizeBytes   int64    `json:"size_bytes"`
	FreeBytes   int64    `json:"free_bytes"`                     // of the disk; a database's is not known
	ClockBehind float64  `json:"clock_behind_seconds,omitempty"` // how far this machine's clock is behind the database's
	Nodes       []string `json:"nodes,omitempty"`                // others on the same database
	Error       string   `json:"error,omitempty"`                // why nothing can be written
}

// Place is where it is.
func (s StoreStatus) Place() string { return cmp.Or(s.Dir, s.Database) }

// KeyStatus is a signing key.
type KeyStatus struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created_at"`
	Signs   bool      `json:"signs"`
}

// GateStatus is a gate.
type GateStatus struct {
	At         string `json:"at"`
	ReportOnly bool   `json:"report_only,omitempty"`
}

// Finding is one thing that the doctor has looked at.
type Finding struct {
	Check string `json:"check"` // a stable word
	Level string `json:"level"` // ok, note, warning or error
	Found string `json:"found"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// Levels of findings.
const (
	LevelOK      = "ok"
	LevelNote    = "note" // could not be looked at, or worth knowing
	LevelWarning = "warning"
	LevelError   = "error"
)

// Fine is a finding that is as it should be.
func Fine(check, found string, args ...any) Finding {
	return Finding{Check: check, Level: LevelOK, Found: fmt.Sprintf(found, args...)}
}

// Note is a finding that is worth knowing.
func Note(check, found, do string) Finding { return Finding{check, LevelNote, found, do} }

// Warning is a finding that is wrong, or will be.
func Warning(check, found, do string) Finding { return Finding{check, LevelWarning, found, do} }

// Error is a finding by which somebody can't sign in, or anybody can.
func Error(check, found, do string) Finding { return Finding{check, LevelError, found, do} }

// Session is a live session, at the gates or of an app.
type Session struct {
	ID       string    `json:"sid"`
	Subject  string    `json:"sub"`
	Email    string    `json:"email"`
	Name     string    `json:"name,omitempty"`
	Issuer   string    `json:"iss"`
	Audience string    `json:"aud"`
	Sites    []string  `json:"sites"`
	Method   string    `json:"method"`
	AMR      []string  `json:"amr"`
	AuthTime time.Time `json:"auth_time"`
	LastSeen time.Time `json:"last_seen"`
	Expires  time.Time `json:"expires_at"`
	Agent    string    `json:"agent,omitempty"`
	Network  string    `json:"network,omitempty"`
	Public   bool      `json:"public,omitempty"`
	Token    string    `json:"token,omitempty"` // name of the machine token that it is
}

// SessionPage is a page of live sessions.
type SessionPage struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next"` // leads to the page after it, empty for none
}

// User is a person.
type User struct {
	Subject  string    `json:"sub"`
	Email    string    `json:"email"` // empty for who has none
	Phone    string    `json:"phone,omitempty"`
	Name     string    `json:"name,omitempty"`
	App      string    `json:"app,omitempty"` // as in shop/live, empty for people of the gates
	Created  time.Time `json:"created_at"`
	Groups   []string  `json:"groups"`
	Sessions []Session `json:"sessions,omitempty"`
	// Others are further people with the same address: each app has its own.
	Others []User `json:"others,omitempty"`
}

// UserPage is a page of people.
type UserPage struct {
	Users []User `json:"users"`
	Next  string `json:"next"`
}

// Deleted says what there is to do after a deletion.
type Deleted struct {
	WithoutOwner []string `json:"organizations_without_owner"`
}

// App is a client of the JSON APIs.
type App struct {
	ID   string   `json:"id"`
	Name string   `json:"name"`
	Keys []AppKey `json:"keys"`
}

// AppKey is one of an app's keys, by a name from which the key can't be found.
type AppKey struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // the option it stands in: api_key or publishable_key
	Test bool   `json:"test"`
	// LastUsed is when this process last saw it, null for not yet.
	LastUsed *time.Time `json:"last_used_at"`
}

// AppList is all apps of the configuration.
type AppList struct {
	Apps []App `json:"apps"`
}

// The options of an app that keys stand in.
const (
	SecretKey      = "api_key"
	PublishableKey = "publishable_key"
)

// TestResult is what one sender did with the test mail.
type TestResult struct {
	Sender  string  `json:"sender"`
	Sent    bool    `json:"sent"`
	Outcome string  `json:"outcome"` // sent, deferred, rejected or sender_down
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"`
}

// TestMail is what became of a test mail.
type TestMail struct {
	Sent    bool         `json:"sent"` // by one sender at least
	Results []TestResult `json:"results"`
}

// Unlocked is what unlock has lifted, and what it leaves.
type Unlocked struct {
	Email string `json:"email"`
	Held  bool   `json:"held"`  // a bounce or complaint had held mail back
	Mails bool   `json:"mails"` // those that had counted for per_recipient are forgotten
	// PausedUntil is how long its owner's "this wasn't me" holds mail back that
	// unknown browsers ask for, null if it does not.
	PausedUntil *time.Time `json:"paused_until"`
}

// Admission is what was started under a reference while mail was down.
type Admission struct {
	Email   string     `json:"email"`
	Ref     string     `json:"ref"`
	Site    string     `json:"site"`
	AskedAt time.Time  `json:"asked_at"`
	Agent   string     `json:"agent,omitempty"`
	Network string     `json:"network"`
	Known   bool       `json:"known"`                // the browser has signed in with this address by mail before
	Refused string     `json:"refused,omitempty"`    // why no code is given out
	Code    string     `json:"code,omitempty"`       // once it is given out
	Expires *time.Time `json:"expires_at,omitempty"` // of the code

	MailWorks bool `json:"mail_works,omitempty"` // again: the visitor can be sent a code
}

// Why is whether somebody gets in, and what became of their mails.
type Why struct {
	Email   string        `json:"email"`
	Subject string        `json:"sub,omitempty"`      // empty for who has never signed in
	Others  []string      `json:"app_subs,omitempty"` // of whom apps know by this address
	Site    string        `json:"site,omitempty"`
	Mark    string        `json:"mark"` // by which the audit log names the address
	Verdict               // of all gates at the site; without a site, of the one that admits
	Gates   []GateVerdict `json:"gates"` // each that was asked
	Mails   []WhyMail     `json:"mails"`
	Domain  DomainStatus  `json:"domain"`
	// HeldUntil is how long mail that came back holds others, null if it does not.
	HeldUntil *time.Time `json:"held_until"`
	// PausedUntil is how long its owner's "this wasn't me" does.
	PausedUntil *time.Time         `json:"paused_until"`
	Problems    []delivery.Problem `json:"problems"` // what came back within 30 days
}

// Verdict is whether an address is admitted.
type Verdict struct {
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`            // the entry that admits, public, or not_allowed
	Entry   string `json:"entry,omitempty"` // with not_allowed: the entry of deny, if one decided
}

// GateVerdict is the verdict of one gate.
type GateVerdict struct {
	At string `json:"at"`
	Verdict
	Besides []string `json:"besides,omitempty"` // what the gate also asks for
}

// WhyMail is one code that was asked for within the last day.
type WhyMail struct {
	At        time.Time        `json:"at"`
	Outcome   string           `json:"outcome"`
	Sender    string           `json:"sender,omitempty"`
	Detail    string           `json:"detail,omitempty"`
	Site      string           `json:"site,omitempty"`
	Challenge string           `json:"challenge,omitempty"`
	Session   string           `json:"sid,omitempty"`
	Waited    *float64         `json:"waited_seconds"` // until a server took the mail, null for not yet
	Steps     []challenge.Step `json:"steps"`
}

// Count is a number of things as people read it: 1 key, 2 keys.
func Count[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Bytes is a size as people read it.
func Bytes(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MB", n>>20)
}
