package authcore

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// Handles are what an app passes back to say which address it has looked up.
// They are sealed, not stored, so that looking addresses up fills no disk; the
// store knows a handle only from the first code on that is asked for with it.

// HandleLifetime is how long a handle can be used.
const HandleLifetime = time.Hour

type handleContent struct {
	Realm   Realm   `json:"r"`
	Address Address `json:"a"`
	Expires int64   `json:"e"`
}

// handleState is what became of a handle.
type handleState struct {
	Challenge string `json:"challenge"`
	Locked    bool   `json:"locked,omitempty"`
}

const handleContext = "api handle"

// Handle makes a handle for address a in realm. Every call makes another one.
func (s *Service) Handle(realm Realm, a Address) string {
	content, err := json.Marshal(handleContent{realm, a, s.core.now().Add(HandleLifetime).Unix()})
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return base64.RawURLEncoding.EncodeToString(s.core.secrets.Current.seal(content, handleContext))
}

// HandleFor tells whether handle was made for address a in realm. Verdict is
// Accepted, Expired, or Unknown for any other text.
func (s *Service) HandleFor(realm Realm, a Address, handle string) Verdict {
	if len(handle) > 1024 {
		return Unknown
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err != nil {
		return Unknown
	}
	var content handleContent
	for _, secret := range append([]Secret{s.core.secrets.Current}, s.core.secrets.Old...) {
		plain, err := secret.unseal(sealed, handleContext)
		if err != nil {
			continue
		}
		if json.Unmarshal(plain, &content) != nil || content.Realm != realm || content.Address != a {
			return Unknown
		}
		if s.core.now().Unix() >= content.Expires {
			return Expired
		}
		return Accepted
	}
	return Unknown
}

// handleSpent tells whether too many wrong codes were given with the handle.
func handleSpent(tx Tx, handle string) (bool, error) {
	if handle == "" {
		return false, nil
	}
	var state handleState
	_, err := load(tx, keyAPIHandle+hashToken(handle), &state)
	return state.Locked, err
}

// lockHandle ends the use of a handle.
func lockHandle(tx Tx, handle string, until time.Time) error {
	if handle == "" {
		return nil
	}
	return save(tx, keyAPIHandle+hashToken(handle), handleState{Locked: true}, until)
}
