package outbox

import (
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Letter is what a mail has to say, before a Composer puts it into words.
type Letter struct {
	Kind     LetterKind
	To       address.Address
	Site     origin.Origin // where it was asked for
	For      origin.Origin // where who signs in goes on; zero: Site
	Language string        // BCP 47, as the page had it
	Code     string        // empty when code entry is off for this address
	Link     string        // absolute URL
	Lifetime time.Duration
	AskedAt  time.Time
	Agent    string // the browser's User-Agent, unparsed, at most 512 bytes
	Network  string // coarse client network, for example 203.0.113.0/24
	NotMe    string // absolute URL for "this wasn't me", of an invitation for "no such mails"; empty for none

	App   string        // name of the app that asked, empty for a gate
	Phone address.Phone // instead of To: a text message, of which only Text counts
	Into  string        // with LetterInvite: where to, the name of an organization or the app
}

// LetterKind tells the mails apart.
type LetterKind string

// The kinds of mail.
const (
	LetterSignIn    LetterKind = "sign_in"
	LetterNewDevice LetterKind = "new_device"
	LetterAdmitted  LetterKind = "admitted" // an operator gave out a code while mail was down

	// For apps, which have no browser of ours to come back to. Each has a code
	// or a link, not both.

	LetterCode   LetterKind = "app_code"   // a code to type where it was asked for
	LetterLink   LetterKind = "app_link"   // a link that signs in wherever it is opened
	LetterInvite LetterKind = "app_invite" // a link that lets in who was invited
	LetterPlain  LetterKind = "app_plain"  // a link with as few words as can be
)

// Composer puts a Letter into words. It is called at each attempt to send and
// must be safe for concurrent use.
type Composer interface {
	Compose(Letter) (Message, error)
}
