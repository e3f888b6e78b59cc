package authcore

import "time"

// person is somebody who has proved an address at least once. Subject is random
// and stays theirs.
type person struct {
	Subject string    `json:"sub"`
	Address Address   `json:"email"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
}

// personFor returns the person with address a, made if there is none yet.
func (s *Service) personFor(tx Tx, a Address) (*person, error) {
	var sub string
	if _, err := load(tx, keyAddress+a.String(), &sub); err != nil {
		return nil, err
	}
	if sub != "" {
		p, err := loadPerson(tx, sub)
		if err != nil {
			return nil, err
		}
		if p != nil && p.Address == a {
			return p, nil
		}
	}
	p := &person{Subject: randomToken(16), Address: a, Created: s.core.now()}
	if err := save(tx, keyPerson+p.Subject, p, time.Time{}); err != nil {
		return nil, err
	}
	return p, save(tx, keyAddress+a.String(), p.Subject, time.Time{})
}

// loadPerson reads a person, nil if there is none.
func loadPerson(tx Tx, sub string) (*person, error) {
	p := &person{}
	ok, err := load(tx, keyPerson+sub, p)
	if err != nil || !ok || p.Subject != sub {
		return nil, err
	}
	return p, nil
}
