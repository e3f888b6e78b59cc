package authcore

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// challenge is one code and link sent to one address for one browser.
type challenge struct {
	ID       string          `json:"id"`
	Secret   string          `json:"secret"` // id of the secret that code and link come from
	Address  address.Address `json:"address"`
	Browser  string          `json:"browser"` // hash of the flow cookie
	Origin   origin.Origin   `json:"origin"`
	Language string          `json:"language,omitempty"`
	AskedAt  time.Time       `json:"asked_at"`
	Expires  time.Time       `json:"expires"` // of code and link
	Digits   int             `json:"digits"`
	Tries    int             `json:"tries"`           // wrong answers it still bears
	Known    bool            `json:"known,omitempty"` // the browser had proved the address
	LinkOnly bool            `json:"link_only,omitempty"`
	// Decoy: for an address that may not sign in. Nothing is sent, no answer is
	// right, and everything else is as for any other.
	Decoy   bool      `json:"decoy,omitempty"`
	Over    bool      `json:"over,omitempty"` // a Decoy because too many mails wait
	Locked  bool      `json:"locked,omitempty"`
	Used    bool      `json:"used,omitempty"`
	Session string    `json:"session,omitempty"` // what it was used for
	Agent   string    `json:"agent,omitempty"`
	Network string    `json:"network,omitempty"`
	Kept    time.Time `json:"kept"` // when the record may go: longer than anything that rests on it

	API *apiPart `json:"api,omitempty"` // made for an app: bound to no browser

	mail *outbox.Entry // once it was made or repeated, until that is committed
}

// state is what a challenge can still do at now.
func (c *challenge) state(now time.Time) event.Verdict {
	switch {
	case c.Used:
		return event.Used
	case c.Locked:
		return event.Locked
	case !now.Before(c.Expires) || now.Before(c.AskedAt.Add(-keyring.ClockSkew)):
		return event.Expired // a clock set back must not revive anything
	case c.LinkOnly:
		return event.CodesOff
	}
	return event.Accepted
}

// live tells whether an answer could still be right.
func (c *challenge) live(now time.Time) bool {
	v := c.state(now)
	return v == event.Accepted || v == event.CodesOff
}

func (c *challenge) save(tx store.Tx) error {
	return store.Save(tx, store.KeyChallenge+c.ID, c, c.Kept)
}

// loadChallenge reads a challenge, nil if it is gone.
func loadChallenge(tx store.Tx, id string) (*challenge, error) {
	c := &challenge{}
	ok, err := store.Load(tx, store.KeyChallenge+id, c)
	if err != nil || !ok || c.ID != id {
		return nil, err
	}
	return c, nil
}

// browserFlows are the sign-ins under way in one browser, the newest last.
type browserFlows struct {
	Browser string       `json:"browser"` // hash of the flow cookie
	Flows   []flowRecord `json:"flows"`
}

// flowRecord is one of them: a tab, as it were. Several may wait for the same
// challenge and go to different places after it.
type flowRecord struct {
	ID        string          `json:"id"`
	Challenge string          `json:"challenge"`
	ReturnTo  origin.ReturnTo `json:"return_to"`
	Language  string          `json:"language,omitempty"`
	Public    bool            `json:"public,omitempty"`
}

// maxFlows bounds what one browser can make the store keep.
const maxFlows = 8

func (b *browserFlows) add(f flowRecord) {
	b.Flows = append(b.Flows, f)
	if n := len(b.Flows); n > maxFlows {
		b.Flows = slices.Delete(b.Flows, 0, n-maxFlows)
	}
}

// pickChallenge returns the newest flow that waits for challenge.
func (b *browserFlows) pickChallenge(id string) *flowRecord {
	for i := len(b.Flows) - 1; i >= 0; i-- {
		if b.Flows[i].Challenge == id {
			return &b.Flows[i]
		}
	}
	return nil
}

// renew lets all flows that waited for old wait for id.
func (b *browserFlows) renew(old, id string) {
	for i := range b.Flows {
		if b.Flows[i].Challenge == old {
			b.Flows[i].Challenge = id
		}
	}
}

func (b *browserFlows) save(tx store.Tx, now time.Time) error {
	return store.Save(tx, store.KeyFlow+b.Browser, b, now.Add(FlowLifetime))
}

// loadFlows reads the sign-ins under way of the browser that holds cookie. For
// a browser without any it returns an empty one, ready to be added to.
func loadFlows(tx store.Tx, cookie string) (*browserFlows, error) {
	b := &browserFlows{}
	if cookie == "" {
		return b, nil
	}
	hash := keyring.Hash(cookie)
	ok, err := store.Load(tx, store.KeyFlow+hash, b)
	if err != nil {
		return nil, err
	}
	if !ok || b.Browser != hash {
		return &browserFlows{}, nil
	}
	return b, nil
}

// device is a browser that has proved addresses.
type device struct {
	Hash   string           `json:"hash"`
	Proved map[string]int64 `json:"proved"` // hash of address → unix seconds of the last proof
}

// maxProved bounds how many addresses one browser is remembered for.
const maxProved = 16

func loadDevice(tx store.Tx, cookie string) (*device, error) {
	d := &device{}
	if cookie == "" {
		return d, nil
	}
	hash := keyring.Hash(cookie)
	ok, err := store.Load(tx, store.KeyDevice+hash, d)
	if err != nil {
		return nil, err
	}
	if !ok || d.Hash != hash {
		return &device{}, nil
	}
	return d, nil
}

func (d *device) knows(a address.Address) bool {
	_, ok := d.Proved[keyring.Hash(a.String())]
	return ok
}

func (d *device) prove(tx store.Tx, a address.Address, now time.Time) error {
	if d.Proved == nil {
		d.Proved = map[string]int64{}
	}
	d.Proved[keyring.Hash(a.String())] = now.Unix()
	for len(d.Proved) > maxProved {
		oldest := ""
		for h, t := range d.Proved {
			if oldest == "" || t < d.Proved[oldest] {
				oldest = h
			}
		}
		delete(d.Proved, oldest)
	}
	return store.Save(tx, store.KeyDevice+d.Hash, d, now.Add(DeviceLifetime))
}

// coarseNetwork is what a mail may say of where a code was asked for; nothing
// if that is this machine or not known, as behind a Unix socket.
func coarseNetwork(a netip.Addr) string {
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

// shortAgent bounds a User-Agent to printable ASCII, so that it can be kept and
// shown anywhere.
func shortAgent(agent string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, agent[:min(len(agent), 512)])
	return clean
}

// codeOf derives the code of c from the secret that c names.
func (c *challenge) codeOf(s keyring.Secret) string {
	if c.API != nil && c.API.Hex {
		return s.APIHexCode(c.ID, c.Digits)
	}
	return s.CodeFor(c.ID, c.Digits)
}
