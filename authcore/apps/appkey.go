package apps

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

// Key is one key of an app. Of the key itself only a hash is kept, so that
// neither a log nor a dump of the memory shows it.
type Key struct {
	Test        bool // sees test data only
	Publishable bool // may stand in a browser, and may do little

	hash [sha256.Size]byte
}

// isSecret tells a key that only an app's server holds from others and from none.
func (k Key) isSecret() bool { return !k.Publishable && k.hash != [sha256.Size]byte{} }

// minKeyRandom is the least length of what follows a key's prefix: 32 characters
// are 128 bits even in hex.
const minKeyRandom = 32

// ParseKey reads a key: sk_live_, sk_test_ (or sbk_…) for secret ones, pk_live_
// or pk_test_ for publishable ones, and at least 32 letters or digits. The
// error does not repeat the key.
func ParseKey(key string) (Key, error) {
	kind, rest, _ := strings.Cut(key, "_")
	mode, random, _ := strings.Cut(rest, "_")
	if kind != "sk" && kind != "sbk" && kind != "pk" || mode != "live" && mode != "test" {
		return Key{}, errors.New("a key begins with sk_live_ or sk_test_, a publishable one with pk_live_ or pk_test_; make one with: gatehouse apps <app> --new-key")
	}
	if len(random) < minKeyRandom || len(random) > 256 {
		return Key{}, fmt.Errorf("a key needs %d to 256 letters or digits after its prefix, this one has %d; make one with: gatehouse apps <app> --new-key", minKeyRandom, len(random))
	}
	for i := range len(random) {
		if !ascii.IsLetterOrDigit(random[i]) {
			return Key{}, errors.New("a key has only letters and digits after its prefix; is there a space or a line break in it?")
		}
	}
	return Key{Test: mode == "test", Publishable: kind == "pk", hash: sha256.Sum256([]byte(key))}, nil
}

// ID names the key in logs and limits; the key can't be found from it.
func (k Key) ID() string {
	sum := sha256.Sum256(k.hash[:])
	return hex.EncodeToString(sum[:6])
}

// Format implements fmt.Formatter for every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "key "+k.ID()) }

// MarshalText covers JSON and structured logs.
func (k Key) MarshalText() ([]byte, error) { return []byte("key " + k.ID()), nil }

// appKeyRandom is how many random bytes a key that is made here has.
const appKeyRandom = 24

// NewKey makes a key. The text is the key itself: whoever has it calls as
// the app.
func NewKey(test, publishable bool) (key Key, text string) {
	kind, mode := "sk", "live"
	if publishable {
		kind = "pk"
	}
	if test {
		mode = "test"
	}
	random := make([]byte, appKeyRandom)
	rand.Read(random)
	text = kind + "_" + mode + "_" + hex.EncodeToString(random)
	return Key{Test: test, Publishable: publishable, hash: sha256.Sum256([]byte(text))}, text
}

// keyUses knows when each key was last shown to this process. It survives a
// reload, so that one can tell after a rotation whether an old key is still in
// use.
type keyUses struct {
	mu sync.Mutex
	at map[[sha256.Size]byte]time.Time
}

// UseKey notes that a call came with a key of an app.
func (c *Core) UseKey(k Key) {
	c.keyUses.mu.Lock()
	defer c.keyUses.mu.Unlock()
	if c.keyUses.at == nil {
		c.keyUses.at = map[[sha256.Size]byte]time.Time{}
	}
	c.keyUses.at[k.hash] = c.now()
}

// KeyUsed returns when a call last came with the key, zero for not since this
// process began. Other nodes' calls are not known here.
func (c *Core) KeyUsed(k Key) time.Time {
	c.keyUses.mu.Lock()
	defer c.keyUses.mu.Unlock()
	return c.keyUses.at[k.hash]
}
