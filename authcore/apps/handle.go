package apps

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/challenge"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Handles are what an app passes back to say which address it has looked up.
// They are sealed, not stored, so that looking addresses up fills no disk; the
// store knows a handle only from the first code on that is asked for with it.

// HandleLifetime is how long a handle can be used.
const HandleLifetime = time.Hour

type handleContent struct {
	Realm   person.Realm    `json:"r"`
	Address address.Address `json:"a"`
	Expires int64           `json:"e"`
}

// handleState is what became of a handle.
type handleState struct {
	challenge.Lead
	Locked bool `json:"locked,omitempty"`
}

func handleKey(handle string) string { return store.KeyAPIHandle + keyring.Hash(handle) }

const handleContext = "api handle"

// Handle makes a handle for address a in realm. Every call makes another one.
func (s *View) Handle(realm person.Realm, a address.Address) string {
	content, err := json.Marshal(handleContent{realm, a, s.core.now().Add(HandleLifetime).Unix()})
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return base64.RawURLEncoding.EncodeToString(s.core.secrets.Current.Seal(content, handleContext))
}

// OpenHandle returns whose data a handle is about, as a Caller without a key.
// Verdict is Accepted, Expired, or Unknown for a handle that was not made for
// address a, or any other text.
func (s *View) OpenHandle(a address.Address, handle string) (Caller, event.Verdict) {
	content, ok := s.unsealHandle(handle)
	app := s.cfg.List.Find(content.Realm.App)
	switch {
	case !ok || content.Address != a || app == nil:
		return Caller{}, event.Unknown
	case s.core.now().Unix() >= content.Expires:
		return Caller{}, event.Expired
	}
	return Caller{App: app, Key: Key{Test: content.Realm.Test}}, event.Accepted
}

func (s *View) unsealHandle(handle string) (content handleContent, ok bool) {
	if len(handle) > 1024 {
		return content, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err != nil {
		return content, false
	}
	for _, secret := range append([]keyring.Secret{s.core.secrets.Current}, s.core.secrets.Old...) {
		if plain, err := secret.Unseal(sealed, handleContext); err == nil {
			return content, json.Unmarshal(plain, &content) == nil
		}
	}
	return content, false
}

// handleSpent tells whether too many wrong codes were given with the handle.
func handleSpent(tx store.Tx, handle string) (bool, error) {
	if handle == "" {
		return false, nil
	}
	var state handleState
	_, err := store.Load(tx, handleKey(handle), &state)
	return state.Locked, err
}

// lockHandle ends the use of a handle with the challenge that it was locked by.
func lockHandle(tx store.Tx, handle string, by *challenge.Challenge) error {
	if handle == "" {
		return nil
	}
	return store.Save(tx, handleKey(handle), handleState{challenge.LeadTo(by.ID), true}, by.Kept)
}
