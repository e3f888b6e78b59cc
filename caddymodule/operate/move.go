package operate

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"

	"github.com/gatehouse-auth/gatehouse/authcore/move"
)

// RotateKeys makes a new signing key and returns its id; with revoke it ends all
// sessions and drops the old keys.
func (i *Instance) RotateKeys(ctx context.Context, by netip.Addr, revoke bool) (kid string, err error) {
	out, err := i.Core.Keys().Rotate(ctx, revoke)
	if err != nil {
		return "", err
	}
	action := "rotate_keys"
	if revoke {
		action = "revoke_keys"
	}
	i.audit(by, action, nil, "")
	return out.Key, nil
}

// Export writes everything that Import takes over, as lines of JSON. What breaks
// off lacks its last line, by which whoever reads it knows.
func (i *Instance) Export(ctx context.Context, by netip.Addr, w io.Writer, keys bool) error {
	detail := ""
	if keys {
		detail = "with_keys"
	}
	i.audit(by, "export", nil, detail)
	_, err := i.Core.Move().Export(ctx, w, keys)
	return err
}

// Import takes over what Export wrote. It keeps the lines in a file until they
// are checked: they can be far larger than memory.
func (i *Instance) Import(ctx context.Context, by netip.Addr, lines io.Reader) (done move.Imported, err error) {
	spool, err := os.CreateTemp("", "gatehouse-import-*")
	if err != nil {
		return done, err
	}
	defer os.Remove(spool.Name())
	defer spool.Close()
	if _, err := io.Copy(spool, lines); err != nil {
		return done, refuse(Malformed, "the lines did not arrive whole; nothing was changed")
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return done, err
	}
	done, err = i.Core.Move().Import(ctx, spool)
	if refused := new(move.LineError); errors.As(err, &refused) {
		if refused.Applied > 0 {
			return done, refuse(Conflict, "%s; %s before it taken over", refused, Count(refused.Applied, "line is", "lines are"))
		}
		return done, refuse(Malformed, "%s; nothing was changed", refused)
	}
	if err != nil {
		return done, err
	}
	i.audit(by, "import", nil, "")
	return done, nil
}
