package caddymodule

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/caddyserver/certmagic"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
)

// secretKey is where Caddy's storage keeps the secret that was made for a new
// store. It is not under gatehouse/, which is the store's default directory:
// who copies the store must not copy its key with it.
const secretKey = "gatehouse-secret"

// checkSecrets checks what does not depend on the machine.
func (a *App) checkSecrets() error {
	for _, value := range a.secretOptions() {
		if option.IsPlaceholder(value) {
			continue
		}
		if _, err := keyring.NewSecret([]byte(value)); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
	}
	if a.Secret == "" && len(a.OldSecrets) > 0 {
		return errors.New("old_secrets: there are old secrets but no secret; write the new one first, as in\n    secret {file./run/secrets/gatehouse} {file./run/secrets/gatehouse.old}")
	}
	return nil
}

func (a *App) secretOptions() []string {
	if a.Secret == "" {
		return nil
	}
	return append([]string{a.Secret}, a.OldSecrets...)
}

// secrets returns the secret to use and the ones before it: the option, and
// what Caddy's storage holds, which is an old one once the option is written.
// isNew tells whether the store is, so that a secret may be made for it.
func (a *App) secrets(ctx context.Context, written []keyring.Secret, dir string, isNew func() (bool, error)) (keyring.Secrets, error) {
	stored, err := a.storedSecret(ctx, dir, len(written) == 0, isNew)
	if err != nil {
		return keyring.Secrets{}, err
	}
	all := slices.Concat(written, stored)
	return keyring.Secrets{Current: all[0], Old: all[1:]}, nil
}

// writtenSecrets are those of the configuration.
func (a *App) writtenSecrets() (all []keyring.Secret, err error) {
	for i, written := range a.secretOptions() {
		name := "secret"
		if i > 0 {
			name = fmt.Sprintf("secret (old one %d)", i)
		}
		value, err := option.ExpandText(name, written) // any bytes will do
		if err != nil {
			return nil, err
		}
		secret, err := keyring.NewSecret([]byte(value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, secret)
	}
	return all, nil
}

// storedSecret returns what Caddy's storage holds: one secret or none. If one
// is needed and there is none, it makes one for a new store; for a store with
// content it must not, because that store has a secret, which was lost.
func (a *App) storedSecret(ctx context.Context, dir string, needed bool, isNew func() (bool, error)) ([]keyring.Secret, error) {
	storage := a.ctx.Storage()
	found, err := loadSecret(ctx, storage)
	if err != nil || found != nil || !needed {
		return found, err
	}
	fresh, err := isNew()
	if err != nil {
		return nil, err
	}
	if !fresh {
		return nil, fmt.Errorf("the store in %s has content but its secret is missing: neither is the option secret written, nor is there %s in Caddy's storage (%v); put the secret back (the option storage moves it, and not the store; the usual directory moves with HOME and XDG_DATA_HOME), name a directory of its own with store badger <dir>, or move the directory away to start anew (everybody is signed out then)", dir, secretKey, storage)
	}
	return makeSecret(ctx, storage)
}

func loadSecret(ctx context.Context, storage certmagic.Storage) ([]keyring.Secret, error) {
	value, err := storage.Load(ctx, secretKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s in Caddy's storage (%v): %w", secretKey, storage, err)
	}
	secret, err := keyring.NewSecret(bytes.TrimSpace(value))
	if err != nil {
		return nil, fmt.Errorf("%s in Caddy's storage (%v): %w", secretKey, storage, err)
	}
	return []keyring.Secret{secret}, nil
}

// makeSecret makes the secret, unless another server that shares the storage
// has just done so.
func makeSecret(ctx context.Context, storage certmagic.Storage) ([]keyring.Secret, error) {
	if err := storage.Lock(ctx, secretKey); err != nil {
		return nil, fmt.Errorf("locking %s in Caddy's storage (%v): %w", secretKey, storage, err)
	}
	defer storage.Unlock(context.WithoutCancel(ctx), secretKey)
	if found, err := loadSecret(ctx, storage); err != nil || found != nil {
		return found, err
	}
	raw := make([]byte, keyring.MinSecretBytes)
	rand.Read(raw)
	if err := storage.Store(ctx, secretKey, []byte(hex.EncodeToString(raw))); err != nil {
		return nil, fmt.Errorf("keeping the new secret as %s in Caddy's storage (%v): %w", secretKey, storage, err)
	}
	return loadSecret(ctx, storage)
}
