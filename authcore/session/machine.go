package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// Machine is who a machine token stands for, and where it is good. A token of
// the configuration stands for itself; one that a person made on the account
// page acts for that person and loses with them what they lose.
type Machine struct {
	Name string `json:"name"` // letters, digits, - and _
	// Sites are where it is good. None: nowhere.
	Sites []origin.SitePattern `json:"sites"`
	// Paths and Methods limit it further: paths as for public, methods in upper
	// case. None: all.
	Paths   origin.PublicPaths `json:"paths,omitzero"`
	Methods []string           `json:"methods,omitempty"`
}

// Check finds what is wrong with the parts of m.
func (m *Machine) Check() error {
	if !policy.IsGroupName(m.Name) || len(m.Name) > 64 {
		return fmt.Errorf("token name %q: write at most 64 letters, digits, - and _, such as backup", m.Name)
	}
	if len(m.Sites) == 0 {
		return fmt.Errorf("token %s: it is good nowhere; name a site, such as\n    site wiki.example.com", m.Name)
	}
	for _, method := range m.Methods {
		if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return fmt.Errorf("token %s: method %q is none; write it in capitals, such as GET", m.Name, method)
		}
	}
	return nil
}

// Beyond says what of t the token is not good for: site, method or path; "" for
// nothing. A path that somebody could read as another one is not within any limit
// on paths.
func (m *Machine) Beyond(t Target) string {
	if !slices.ContainsFunc(m.Sites, func(p origin.SitePattern) bool { return p.Covers(t.Origin) }) {
		return "site"
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, t.Method) {
		return "method"
	}
	if !m.Paths.IsZero() && !m.Paths.Match(t.Path, t.Escaped) {
		return "path"
	}
	return ""
}

// ConfiguredMachine is a machine token of the configuration.
type ConfiguredMachine struct {
	Machine
	Hash  MachineHash
	Old   []MachineHash // of the secrets before, which go on until they are taken out
	Until time.Time     // zero: as long as it is configured
}

func (c *ConfiguredMachine) hashes() []MachineHash { return append([]MachineHash{c.Hash}, c.Old...) }

// MachineHash is how a machine token is known: by SHA-256 of the secret.
type MachineHash [sha256.Size]byte

// HashMachine returns the hash of a secret.
func HashMachine(secret string) MachineHash { return sha256.Sum256([]byte(secret)) }

func (h MachineHash) String() string { return hex.EncodeToString(h[:]) }

// MinMachineSecret is the least length in bytes of a configured secret: nobody
// counts wrong ones, so that they must be beyond guessing.
const MinMachineSecret = 32

// machines are the configured tokens by printed hash, each with the session that its
// requests run under.
type machines map[string]*Session

func newMachines(configured []ConfiguredMachine, now time.Time) machines {
	all := machines{}
	for _, c := range configured {
		s := &Session{
			ID: "token:" + c.Name, Subject: "token:" + c.Name, Machine: &c.Machine,
			AuthTime: now, Expires: c.Until, AMR: []string{"token"},
			live: &liveSession{token: c.Hash.String(), seen: new(lastUse)},
		}
		s.live.snapshot.Store(s)
		for _, hash := range c.hashes() {
			all[hash.String()] = s
		}
	}
	return all
}

// CheckMachines finds what is wrong with configured tokens taken together.
func CheckMachines(all []ConfiguredMachine) error {
	for i, m := range all {
		if err := m.Check(); err != nil {
			return err
		}
		for _, other := range all[:i] {
			if other.Name == m.Name {
				return fmt.Errorf("token %s is written twice: keep one of the two", m.Name)
			}
			for _, hash := range m.hashes() {
				if slices.Contains(other.hashes(), hash) {
					return errors.New("tokens " + other.Name + " and " + m.Name + " have the same secret: which of them a request used could not be told")
				}
			}
		}
	}
	return nil
}

// User is who the session stands for: the address of a person, token:<name>
// for a token of the configuration, token:<address>/<name> for one that a
// person made.
func (s *Session) User() string {
	switch {
	case s.Machine == nil:
		return s.Address.String()
	case s.Address.IsZero():
		return "token:" + s.Machine.Name
	}
	return "token:" + s.Address.String() + "/" + s.Machine.Name
}
