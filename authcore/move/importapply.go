package move

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/store"
)

// apply writes lines that were checked, in one transaction.
func (im *importer) apply(ctx context.Context, lines []importLine) error {
	type applied struct {
		done  Imported
		ended []session.Ending
	}
	did, err := store.Update(ctx, im.Store, func(tx store.Tx) (applied, error) {
		did := applied{done: im.done}
		for _, line := range lines {
			gone, err := line.record.gone(tx)
			if err != nil {
				return did, err
			}
			if gone {
				did.done.Unchanged++
				continue
			}
			e, err := line.record.apply(im, tx, line.number, &did.done)
			if err != nil {
				return did, err
			}
			if e != nil {
				did.ended = append(did.ended, *e)
			}
		}
		return did, nil
	})
	if refused := new(LineError); errors.As(err, &refused) {
		refused.Applied = im.done.lines()
	}
	if err != nil {
		return err
	}
	for _, e := range did.ended {
		im.Sessions.Ended(e)
	}
	im.done = did.done
	return nil
}

func (in *exportPerson) apply(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	if err := in.clash(tx, n); err != nil {
		return nil, err // they have signed in since the check
	}
	old, err := person.Load(tx, in.Subject)
	if err != nil {
		return nil, err
	}
	name, _ := person.ParseName(in.Name)
	if old != nil && (old.Name != "" || name == "") {
		done.Unchanged++
		return nil, nil
	}
	p := &person.Record{Subject: in.Subject, Address: in.Address, Created: in.Created}
	if old != nil {
		p = old
	} else if p.Created.IsZero() {
		p.Created = im.Now()
	}
	p.Name = name
	done.People++
	if err := store.Save(tx, store.KeyPerson+p.Subject, p, time.Time{}); err != nil {
		return nil, err
	}
	return nil, store.Save(tx, store.KeyAddress+p.Address.String(), p.Subject, time.Time{})
}

// apply adds a session, or what the line knows more of one.
func (in *exportSession) apply(im *importer, tx store.Tx, n int, done *Imported) (*session.Ending, error) {
	if im.Sessions.IsOverHere(&in.Record) {
		done.Unchanged++ // it is over here, whatever the line says
		return nil, nil
	}
	if in.API != nil {
		return in.applyToApp(im, tx, n, done)
	}
	old, err := session.Load(tx, in.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		done.Sessions++
		tx.Put(store.KeyPersonSession+in.Subject+"/"+in.ID, []byte("{}"), in.Expires.Add(keyring.ClockSkew))
		return nil, in.Save(tx)
	}
	if !old.EndedAt.IsZero() || in.EndedAt.IsZero() && !in.LastSeen.After(old.LastSeen) {
		done.Unchanged++
		return nil, nil
	}
	done.Sessions++
	if in.LastSeen.After(old.LastSeen) {
		old.LastSeen = in.LastSeen
	}
	if err := old.Save(tx); err != nil || in.EndedAt.IsZero() {
		return nil, err
	}
	return im.Sessions.EndIn(tx, in.ID, cmp.Or(in.Reason, "imported"), nil)
}

func (in *exportKey) apply(_ *importer, tx store.Tx, _ int, done *Imported) (*session.Ending, error) {
	var old keyring.KeyRecord
	known, err := store.Load(tx, store.KeySigning+in.ID, &old)
	if err != nil {
		return nil, err
	}
	if known && slices.Equal([]string{old.ID, old.Alg}, []string{in.ID, in.Alg}) {
		done.Unchanged++
		return nil, nil
	}
	done.Keys++
	return nil, store.Save(tx, store.KeySigning+in.ID, in.KeyRecord, time.Time{})
}
