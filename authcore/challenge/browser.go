package challenge

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// FlowLifetime is how long a browser keeps its sign-ins under way. It is far
// longer than a code lives, so that asking again never ends in a dead end.
const FlowLifetime = time.Hour

// DeviceLifetime is how long a browser is remembered for having proved an
// address.
const DeviceLifetime = 365 * 24 * time.Hour

// The values of a browser's cookies begin with what they are: an app must not read
// them, and after another name was configured only the value tells.
const (
	flowPrefix   = "ghf_"
	devicePrefix = "ghd_"
	cookieRandom = 32 // bytes
)

// NewFlowCookie makes the flow cookie of a browser.
func NewFlowCookie() string { return flowPrefix + keyring.RandomToken(cookieRandom) }

// NewDeviceCookie makes the device cookie of a browser.
func NewDeviceCookie() string { return devicePrefix + keyring.RandomToken(cookieRandom) }

// IsFlowCookie tells whether value has the form of a flow cookie.
func IsFlowCookie(value string) bool { return isCookie(value, flowPrefix) }

// IsDeviceCookie tells whether value has the form of a device cookie.
func IsDeviceCookie(value string) bool { return isCookie(value, devicePrefix) }

func isCookie(value, prefix string) bool {
	random, ok := strings.CutPrefix(value, prefix)
	return ok && keyring.IsToken(random, cookieRandom)
}

// Flows are the sign-ins under way in one browser, the newest last.
type Flows struct {
	Browser string `json:"browser"` // hash of the flow cookie
	Flows   []Flow `json:"flows"`
}

// Flow is one of them: a tab, as it were. Several may wait for the same
// challenge and go to different places after it.
type Flow struct {
	ID string `json:"id"`
	Lead
	Origin   origin.Origin   `json:"origin"` // where it was begun
	ReturnTo origin.ReturnTo `json:"return_to"`
	Language string          `json:"language,omitempty"`
	Public   bool            `json:"public,omitempty"`
}

// maxFlows bounds what one browser can make the store keep.
const maxFlows = 8

// Add puts a flow at the end.
func (b *Flows) Add(f Flow) {
	b.Flows = append(b.Flows, f)
	if n := len(b.Flows); n > maxFlows {
		b.Flows = slices.Delete(b.Flows, 0, n-maxFlows)
	}
}

// At returns the flows that were begun at o, the newest first; with an id that
// one alone. Sites on one host share the flow cookie (ports don't part cookies);
// what was asked for at one must not sign in at the other.
func (b *Flows) At(o origin.Origin, id string) (found []*Flow) {
	for i := len(b.Flows) - 1; i >= 0; i-- {
		if f := &b.Flows[i]; f.Origin == o && (id == "" || f.ID == id) {
			found = append(found, f)
		}
	}
	return found
}

// Live finds the challenge for a that this browser can still answer at o, nil for
// none.
func (b *Flows) Live(tx store.Tx, a address.Address, o origin.Origin, now time.Time) (*Challenge, error) {
	return b.find(tx, a, o, func(c *Challenge) bool { return c.Live(now) })
}

// Waiting finds the challenge for a that waits for an operator, nil for none.
func (b *Flows) Waiting(tx store.Tx, a address.Address, o origin.Origin, now time.Time) (*Challenge, error) {
	return b.find(tx, a, o, func(c *Challenge) bool { return c.State(now) == event.MailDown })
}

// find finds the newest challenge for a that was asked for here and is right.
func (b *Flows) find(tx store.Tx, a address.Address, o origin.Origin, isRight func(*Challenge) bool) (*Challenge, error) {
	flows := b.At(o, "")
	var leads []Lead
	for _, f := range flows {
		leads = append(leads, Lead{Challenge: f.Challenge})
	}
	tx, err := Follow(tx, leads...)
	if err != nil {
		return nil, err
	}
	for _, f := range flows {
		c, err := Load(tx, f.Challenge)
		if err != nil {
			return nil, err
		}
		if c == nil || c.Address != a || c.Origin != o {
			continue
		}
		if c, err = Open(tx, c.ID); err != nil || isRight(c) {
			return c, err
		}
	}
	return nil, nil
}

// Leads are those of flows.
func Leads(flows []*Flow) (leads []Lead) {
	for _, f := range flows {
		leads = append(leads, f.Lead)
	}
	return leads
}

// Renew lets all flows that waited for old wait for what l leads to.
func (b *Flows) Renew(old string, l Lead) {
	for i := range b.Flows {
		if b.Flows[i].Challenge == old {
			b.Flows[i].Lead = l
		}
	}
}

// Save stores the flows.
func (b *Flows) Save(tx store.Tx, now time.Time) error {
	return store.Save(tx, store.KeyFlow+b.Browser, b, now.Add(FlowLifetime))
}

// FlowsKey is where the flows of the browser with a flow cookie are.
func FlowsKey(cookie string) string { return store.KeyFlow + keyring.Hash(cookie) }

// LoadFlows reads the sign-ins under way of the browser that holds cookie. For
// a browser without any it returns an empty one, ready to be added to.
func LoadFlows(tx store.Tx, cookie string) (*Flows, error) {
	b := &Flows{}
	if cookie == "" {
		return b, nil
	}
	ok, err := store.Load(tx, FlowsKey(cookie), b)
	if err != nil {
		return nil, err
	}
	if !ok || b.Browser != keyring.Hash(cookie) {
		return &Flows{}, nil
	}
	return b, nil
}

// Device is a browser that has proved addresses.
type Device struct {
	Hash   string           `json:"hash"`
	Proved map[string]int64 `json:"proved"` // subject → since when, in unix milliseconds
}

// maxProved bounds how many addresses one browser is remembered for, and how many
// networks an address.
const maxProved = 16

// DeviceKey is where the browser with a device cookie is.
func DeviceKey(cookie string) string { return store.KeyDevice + keyring.Hash(cookie) }

// LoadDevice reads the browser that holds cookie, an empty one if it is not
// known.
func LoadDevice(tx store.Tx, cookie string) (*Device, error) {
	d := &Device{}
	if cookie == "" {
		return d, nil
	}
	ok, err := store.Load(tx, DeviceKey(cookie), d)
	if err != nil {
		return nil, err
	}
	if !ok || d.Hash != keyring.Hash(cookie) {
		return &Device{}, nil
	}
	return d, nil
}

// Knows tells whether the browser has proved a, as the address of who has it now,
// and nobody has taken that back since (Distrust).
func (d *Device) Knows(tx store.Tx, a address.Address) (bool, error) {
	var sub string
	if ok, err := store.Load(tx, store.KeyAddress+a.String(), &sub); err != nil || !ok || d.Proved[sub] == 0 {
		return false, err
	}
	p, err := readPause(tx, a)
	return err == nil && !p.doubts(d.Hash, time.UnixMilli(d.Proved[sub])), err
}

// Prove notes that the browser has proved a, whose person is sub, and stores it.
func (d *Device) Prove(tx store.Tx, a address.Address, sub string, now time.Time) error {
	known, err := d.Knows(tx, a)
	if err != nil {
		return err
	}
	if d.Proved == nil {
		d.Proved = map[string]int64{}
	}
	if !known {
		keepNewest(d.Proved, sub, now)
	}
	return store.Save(tx, store.KeyDevice+d.Hash, d, now.Add(DeviceLifetime))
}
