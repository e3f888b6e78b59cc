package move

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// Config is the instance that is exported from or imported into.
type Config struct {
	Store    store.Store
	Format   int // of the store's records, and of the lines
	Now      func() time.Time
	Keys     *keyring.Keys
	Sessions *session.Core
	Apps     *apps.Core
	Recount  func(context.Context) error // counts people and sessions anew
}

// Mover takes an instance's state out and in: Export and Import.
type Mover struct{ Config }

// New makes a Mover.
func New(c Config) *Mover { return &Mover{c} }
