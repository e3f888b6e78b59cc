package authcore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// apply writes lines that were checked, in one transaction.
func (im *importer) apply(ctx context.Context, lines []importLine) error {
	var done Imported
	var ended []ending
	err := im.core.store.Update(ctx, func(tx Tx) error {
		done, ended = Imported{}, nil
		for _, line := range lines {
			e, err := im.applyLine(tx, line, &done)
			if err != nil {
				return err
			}
			if e != nil {
				ended = append(ended, *e)
			}
		}
		return nil
	})
	if refused := new(ImportError); errors.As(err, &refused) {
		refused.Applied = im.done.People + im.done.Sessions + im.done.Keys + im.done.Unchanged
	}
	if err != nil {
		return err
	}
	for _, e := range ended {
		im.core.ended(e)
	}
	im.done.People += done.People
	im.done.Sessions += done.Sessions
	im.done.Keys += done.Keys
	im.done.Unchanged += done.Unchanged
	return nil
}

func (im *importer) applyLine(tx Tx, line importLine, done *Imported) (*ending, error) {
	switch {
	case line.person != nil:
		return nil, im.applyPerson(tx, line, done)
	case line.session != nil:
		return im.applySession(tx, line.session, done)
	}
	return nil, im.applyKey(tx, line.key, done)
}

func (im *importer) applyPerson(tx Tx, line importLine, done *Imported) error {
	if err := clash(tx, line); err != nil {
		return err // they have signed in since the check
	}
	in := line.person
	old, err := loadPerson(tx, in.Subject)
	if err != nil {
		return err
	}
	name, _ := ParseName(in.Name)
	if old != nil && (old.Name != "" || name == "") {
		done.Unchanged++
		return nil
	}
	p := &person{Subject: in.Subject, Address: in.Address, Created: in.Created}
	if old != nil {
		p = old
	} else if p.Created.IsZero() {
		p.Created = im.core.now()
	}
	p.Name = name
	done.People++
	if err := save(tx, keyPerson+p.Subject, p, time.Time{}); err != nil {
		return err
	}
	return save(tx, keyAddress+p.Address.String(), p.Subject, time.Time{})
}

// applySession adds a session, or what the line knows more of one.
func (im *importer) applySession(tx Tx, in *sessionRecord, done *Imported) (*ending, error) {
	if !im.core.now().Before(in.Expires) {
		done.Unchanged++
		return nil, nil
	}
	old, err := loadSession(tx, in.ID)
	if err != nil {
		return nil, err
	}
	if old == nil {
		done.Sessions++
		tx.Put(keyPersonSession+in.Subject+"/"+in.ID, []byte("{}"), in.Expires.Add(clockSkew))
		return nil, in.save(tx)
	}
	if !old.EndedAt.IsZero() || in.EndedAt.IsZero() && !in.LastSeen.After(old.LastSeen) {
		done.Unchanged++
		return nil, nil
	}
	done.Sessions++
	old.LastSeen = later(old.LastSeen, in.LastSeen)
	if err := old.save(tx); err != nil || in.EndedAt.IsZero() {
		return nil, err
	}
	return endSession(tx, in.ID, cmp.Or(in.Reason, "imported"), nil, im.core.now())
}

func (im *importer) applyKey(tx Tx, in *keyRecord, done *Imported) error {
	var old keyRecord
	known, err := load(tx, keySigning+in.ID, &old)
	if err != nil {
		return err
	}
	if known && slices.Equal([]string{old.ID, old.Alg}, []string{in.ID, in.Alg}) {
		done.Unchanged++
		return nil
	}
	done.Keys++
	return save(tx, keySigning+in.ID, in, time.Time{})
}
