package authcore

import "context"

// Holder is somebody whose sessions an operator may ask for: a person of the
// gates, or one whom only an app knows.
type Holder struct {
	Subject string
	Address Address // zero for who has none
	Realm   Realm   // zero: of the gates
}

// Holders returns everybody with this subject or address. One address may be
// several people: each app has its own, and so have the gates.
func (s *Service) Holders(ctx context.Context, id string) (list []Holder, err error) {
	err = s.core.store.View(ctx, func(tx Tx) error {
		list = nil
		people, err := s.withID(tx, id)
		for _, p := range people {
			list = append(list, Holder{p.Subject, p.Address, p.Realm})
		}
		return err
	})
	return list, err
}

func (s *Service) withID(tx Tx, id string) (list []*person, err error) {
	address, err := ParseAddress(id)
	if err != nil {
		p, err := loadPersonOf(tx, id)
		if err != nil || p == nil {
			return nil, err
		}
		return []*person{p}, nil
	}
	p, err := findAccount(tx, id)
	if err != nil {
		return nil, err
	}
	if p != nil {
		list = append(list, p)
	}
	for _, app := range s.cfg.Apps.All() {
		for _, test := range []bool{false, true} {
			p, err := findPerson(tx, Realm{app.ID, test}, indexValue, address.String())
			if err != nil {
				return nil, err
			}
			if p != nil {
				list = append(list, p)
			}
		}
	}
	return list, nil
}

// loadPersonOf reads the person with a subject from outside.
func loadPersonOf(tx Tx, sub string) (*person, error) {
	if !isKeyPart(sub) {
		return nil, nil
	}
	return loadPerson(tx, sub)
}
