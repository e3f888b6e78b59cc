package challenge

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Challenge is one code and link sent to one recipient. An app's (with a Part) is
// bound to no browser: whoever holds the code together with the contact, or the
// link, has proved the contact.
type Challenge struct {
	ID       string          `json:"id"`
	Secret   string          `json:"secret"` // id of the secret that code and link come from
	Address  address.Address `json:"address"`
	Phone    address.Phone   `json:"phone,omitzero"`    // in place of Address
	Browser  string          `json:"browser,omitempty"` // hash of the flow cookie
	Origin   origin.Origin   `json:"origin"`
	For      origin.Origin   `json:"for,omitzero"` // where it leads; zero: Origin
	Language string          `json:"language,omitempty"`
	AskedAt  time.Time       `json:"asked_at"`
	Expires  time.Time       `json:"expires"`          // of code and link
	Delay    time.Duration   `json:"delay,omitempty"`  // that they live longer, as mail to the address usually takes it
	Digits   int             `json:"digits,omitempty"` // of the code; 0: a link alone
	Hex      bool            `json:"hex,omitempty"`    // the digits are hexadecimal
	Tries    int             `json:"tries"`            // wrong answers it still bears
	Known    bool            `json:"known,omitempty"`  // the browser, or the network From, had proved the address
	LinkOnly bool            `json:"link_only,omitempty"`
	From     string          `json:"from,omitempty"`   // of an app's: the network that asked (NetworkID), "" for not told
	Opened   bool            `json:"opened,omitempty"` // of an app's with LinkOnly: its link was opened, and shows the code
	Test     bool            `json:"test,omitempty"`   // test data: counted apart
	// Decoy: for an address that may not sign in. Nothing is sent, no answer is
	// right, and everything else is as for any other.
	Decoy   bool      `json:"decoy,omitempty"`
	Unsent  Outcome   `json:"unsent,omitempty"` // why nothing is sent for a Decoy
	Locked  bool      `json:"locked,omitempty"`
	Used    bool      `json:"used,omitempty"`
	UsedAt  time.Time `json:"used_at,omitzero"`
	Method  string    `json:"method,omitempty"`  // how it was used: "code" or "link"
	Fetched bool      `json:"fetched,omitempty"` // who waited has been told that it was used
	Session string    `json:"session,omitempty"` // what it was used for
	Agent   string    `json:"agent,omitempty"`
	Network string    `json:"network,omitempty"`
	// Reference is what an operator finds it by while mail is down, and Admitted that
	// one gave out its code.
	Reference string    `json:"reference,omitempty"`
	Admitted  bool      `json:"admitted,omitempty"`
	Kept      time.Time `json:"kept"` // when the record may go: longer than anything that rests on it

	// Part is what an app's challenge has beside the rest.
	Part json.RawMessage `json:"part,omitempty"`

	mail event.Mail // once it was used
}

// Mail is how its mail had fared when the challenge was used, whichever node sent it.
func (c *Challenge) Mail() event.Mail { return c.mail }

// State is what a challenge can still do at now: Accepted means that an answer
// is awaited, MailDown that an operator is.
func (c *Challenge) State(now time.Time) event.Verdict {
	switch {
	case c.Used:
		return event.Used
	case c.Locked:
		return event.Locked
	case !now.Before(c.Expires) || now.Before(c.AskedAt.Add(-keyring.ClockSkew)):
		return event.Expired // a clock set back must not revive anything
	case c.Unsent == OutcomeMailDown:
		return event.MailDown
	case c.LinkOnly:
		return event.CodesOff
	}
	return event.Accepted
}

// Live tells whether an answer could still be right.
func (c *Challenge) Live(now time.Time) bool {
	v := c.State(now)
	return v == event.Accepted || v == event.CodesOff
}

// IsText tells whether it goes out as a text message.
func (c *Challenge) IsText() bool { return !c.Phone.IsZero() }

// Recipient is the address or number that it is about.
func (c *Challenge) Recipient() string {
	if c.IsText() {
		return c.Phone.String()
	}
	return c.Address.String()
}

// Code derives the code from the secret that c names.
func (c *Challenge) Code(s keyring.Secret) string {
	if c.Hex {
		return s.APIHexCode(c.ID, c.Digits)
	}
	return s.CodeFor(c.ID, c.Digits)
}

// Save stores c.
func (c *Challenge) Save(tx store.Tx) error {
	return store.Save(tx, store.KeyChallenge+c.ID, c, c.Kept)
}

// Load reads a challenge whatever has become of it, nil if it is gone.
func Load(tx store.Tx, id string) (*Challenge, error) {
	c := &Challenge{}
	ok, err := store.Load(tx, store.KeyChallenge+id, c)
	if err != nil || !ok || c.ID != id {
		return nil, err
	}
	return c, nil
}

// Open is Load for whoever means to answer a challenge or to send its mail: one
// of a browser that its address's owner did not ask for, or whose account is
// gone, is locked. Whether an app's died with its contact the app's room knows.
func Open(tx store.Tx, id string) (*Challenge, error) {
	c, err := Load(tx, id)
	if err != nil || c == nil || c.Part != nil {
		return c, err
	}
	p, err := readPause(tx, c.Address)
	if err != nil {
		return nil, err
	}
	c.Locked = c.Locked || p.ends(c)
	return c, nil
}

// Void ends the challenges that were asked for until a time: what was answered of them
// may be forgotten. Who answers one gets another mail.
func Void(ctx context.Context, s store.Store, until, now time.Time) error {
	return store.Each(ctx, s, store.KeyChallenge, func(tx store.Tx, key string) error {
		c, err := Load(tx, strings.TrimPrefix(key, store.KeyChallenge))
		if err != nil || c == nil || c.AskedAt.After(until) || !c.Expires.After(now) {
			return err
		}
		c.Expires = now
		return c.Save(tx)
	})
}

// Lead leads to a challenge from what an answer shows, and names the keys that
// are read with it: who follows it reads all at once. No rule rests on With.
type Lead struct {
	Challenge string   `json:"challenge"`
	With      []string `json:"ahead,omitempty"` // see store.Ahead
}

// LeadTo leads to the challenge with id, with what else an answer reads.
func LeadTo(id string, with ...string) Lead {
	return Lead{Challenge: id, With: append([]string{store.KeyChallenge + id}, with...)}
}

// LoadLead reads the lead at key, the zero Lead for none.
func LoadLead(tx store.Tx, key string) (l Lead, err error) {
	_, err = store.Load(tx, key, &l)
	return l, err
}

// Follow reads in one round trip what leads name. The zero Lead names nothing.
func Follow(tx store.Tx, leads ...Lead) (store.Tx, error) {
	var keys []string
	for _, l := range leads {
		if l.Challenge != "" {
			keys = append(append(keys, store.KeyChallenge+l.Challenge), l.With...)
		}
	}
	return store.ReadAhead(tx, keys...)
}

// LinkKey is where the lead of a browser's link token is, "" for no such token.
func LinkKey(token string) string {
	if len(token) != linkTokenLen {
		return ""
	}
	return store.KeyLink + keyring.Hash(token)
}

// linkTokenLen is the length of 32 bytes in base64url.
const linkTokenLen = 43

// OpenLink finds the challenge that a link's lead leads to, nil for none. A
// decoy's link was never sent, so nobody can hold it.
func OpenLink(tx store.Tx, l Lead) (*Challenge, error) {
	c, err := Open(tx, l.Challenge)
	if err != nil || c == nil || c.Decoy || c.Part != nil {
		return nil, err
	}
	return c, nil
}

// CoarseNetwork is what a mail may say of where a code was asked for; nothing
// if that is this machine or not known, as behind a Unix socket.
func CoarseNetwork(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.Prefix(bits)
	if err != nil || !p.IsValid() || a.IsLoopback() {
		return ""
	}
	return p.String()
}

// ShortAgent bounds a User-Agent to printable ASCII, so that it can be kept and
// shown anywhere.
func ShortAgent(agent string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, agent[:min(len(agent), 512)])
}
