package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Keys of the store. A record also holds its own id, so that one pasted into
// another's place is refused.
//
//	meta                         format, the secret in use
//	key/<kid>                    signing keys, wrapped
//	flow/<hash of cookie>        the sign-ins under way in one browser
//	challenge/<id>               one code and link
//	link/<hash of token>         → challenge, and what is read with it
//	reference/<six letters>      → challenge that an operator is asked about
//	bounce/<hash of address>     what came back from there
//	hook/<hash of token>         a report that was taken down
//	domain/<name>                how mail to a domain fares
//	mail/<time>-<challenge id>   the outbox
//	sent/<hash of Message-ID>    → what a mail was about
//	sender/<name>                secrets that senders keep
//	person/<sub>                 people
//	address/<address>            → sub
//	device/<hash of cookie>      for whom a browser has proved an address
//	session/<sid>                sessions, ended ones too
//	person-session/<sub>/<sid>   index of a person's sessions
//	grant/<id>                   what a client holds of one sign-in, also found as
//	person-grant/<sub>/<id>
//	grant-code/<hash of code>    codes, used ones too
//	grant-access/<hash of token> access tokens
//	grant-request/<hash>         requests that wait for a sign-in
//	consent/<sub>/<client>       what a person has agreed to
//	pairwise                     what subjects of one sector are derived with
//	handover/<hash of ticket>    tickets from the portal to a site
//	machine/<hash of token>      → sid of a machine token
//	machines/<sub>               the tokens that a person made
//	limit/<kind>/<hash>          counters
//	pause/<hash of address>      "this was not me"
//	history/<hash>/<time>-<id>   what became of codes asked for, by address
//	revoked                      before when no session counts any more
//	notice/<time>-<node>-…       what one node tells the others
//	census                       how many sessions and people there were
//	realm/<app>/<mode>/…         what apps find their people by
//	api-link/<hash of token>     → challenge, of links made for apps
//	api-poll/<hash of token>     → challenge
//	api-stop/<hash of token>     → challenge id, to stop invitations with
//	invite-pause/<app>/<mode>/…  "no such mails", by address
//	api-slot/<app>/<mode>/<hash> → the challenge in force for a contact, by its id and by itself
//	api-session/<hash of token>  → sid
//	api-handle/<hash>            what became of a handle
//	api-window/<app>/<mode>/…    an app's own counts of challenges
//	org/<id>                     organizations
//	org-person/<org>/<sub>       memberships, also found as
//	person-org/<sub>/<org>
//	gone/<hash of ids>           when what an import could bring back was deleted
//	invite/<id>                  invitations, also found as
//	org-invite/<org>/<id>, and while they wait
//	invited/<org>/<hash of address>
const (
	KeyMeta          = "meta"
	KeySigning       = "key/"
	KeyFlow          = "flow/"
	KeyChallenge     = "challenge/"
	KeyLink          = "link/"
	KeyReference     = "reference/"
	KeyBounce        = "bounce/"
	KeyHook          = "hook/"
	KeyDomain        = "domain/"
	KeyMail          = "mail/"
	KeySent          = "sent/"
	KeySender        = "sender/"
	KeyPerson        = "person/"
	KeyAddress       = "address/"
	KeyDevice        = "device/"
	KeySession       = "session/"
	KeyPersonSession = "person-session/"
	KeyGrant         = "grant/"
	KeyPersonGrant   = "person-grant/"
	KeyCode          = "grant-code/"
	KeyAccess        = "grant-access/"
	KeyRequest       = "grant-request/"
	KeyConsent       = "consent/"
	KeyPairwise      = "pairwise"
	KeyHandover      = "handover/"
	KeyMachine       = "machine/"
	KeyMachines      = "machines/"
	KeyLimit         = "limit/"
	KeyPause         = "pause/"
	KeyHistory       = "history/"
	KeyRevoked       = "revoked"
	KeyNotice        = "notice/"
	KeyCensus        = "census"
	KeyRealm         = "realm/"
	KeyAPILink       = "api-link/"
	KeyAPIPoll       = "api-poll/"
	KeyAPIStop       = "api-stop/"
	KeyInvitePause   = "invite-pause/"
	KeyAPISlot       = "api-slot/"
	KeyAPISession    = "api-session/"
	KeyAPIHandle     = "api-handle/"
	KeyAPIWindow     = "api-window/"
	KeyAPINetworks   = "api-networks/"
	KeyGone          = "gone/"
	KeyOrg           = "org/"
	KeyOrgPerson     = "org-person/"
	KeyPersonOrg     = "person-org/"
	KeyInvite        = "invite/"
	KeyOrgInvite     = "org-invite/"
	KeyInvited       = "invited/"
)

// ChangesSeldom tells whether the record at key is likely to be as it was a moment
// ago: an engine may try with that first, as long as it finds out.
func ChangesSeldom(key string) bool {
	return strings.HasPrefix(key, KeySession) || strings.HasPrefix(key, KeyPerson)
}

// Load reads the record at key into v and tells whether it was there.
func Load(tx Tx, key string, v any) (bool, error) {
	values, err := tx.Get(key)
	if err != nil {
		return false, err
	}
	return Decode(key, values[0], v)
}

// Decode reads value, as Tx.Get returned it for key.
func Decode(key string, value []byte, v any) (bool, error) {
	if value == nil {
		return false, nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return false, BrokenRecord(key, err)
	}
	return true, nil
}

// BrokenRecord is the error for a record that makes no sense. It names the
// kind of the key, never the key, which can hold an address.
func BrokenRecord(key string, err error) error {
	return fmt.Errorf("the store holds a broken record at %s: %w", keyKind(key), err)
}

// Save puts v as JSON at key until expires; the zero time means for ever.
func Save(tx Tx, key string, v any, expires time.Time) error {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	value, err := e.encode(v)
	if err != nil {
		return fmt.Errorf("encoding the record at %s: %w", keyKind(key), err)
	}
	tx.Put(key, value, expires)
	return nil
}

// Fits tells whether v can be saved.
func Fits(v any) bool {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	value, err := e.encode(v)
	return err == nil && len(value) <= MaxValueLen
}

// encoder is a json.Encoder with what it writes to.
type encoder struct {
	*json.Encoder
	text bytes.Buffer
}

// encode is json.Marshal without its care for HTML, which makes six bytes of
// each < in what apps store: that could grow beyond MaxValueLen. The text is
// good until the next.
func (e *encoder) encode(v any) ([]byte, error) {
	e.text.Reset()
	err := e.Encode(v)
	return bytes.TrimSuffix(e.text.Bytes(), []byte("\n")), err
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.Encoder = json.NewEncoder(&e.text)
	e.SetEscapeHTML(false)
	return e
}}

// keyKind is the part of a key that may stand in a log: its kind without the
// id, which can be an address.
func keyKind(key string) string {
	for i := range len(key) {
		if key[i] == '/' {
			return key[:i]
		}
	}
	return key
}

// IsKeyPart tells whether an id from outside can be part of a key: letters,
// digits, - and _, and not too long.
func IsKeyPart(id string) bool {
	strange := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	return id != "" && len(id) <= 128 && !strings.ContainsFunc(id, strange)
}
