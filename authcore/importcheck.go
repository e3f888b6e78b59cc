package authcore

import (
	"context"
	"time"
)

// check looks at lines without changing anything.
func (im *importer) check(ctx context.Context, lines []importLine) error {
	return im.core.store.View(ctx, func(tx Tx) error {
		for _, line := range lines {
			if err := im.checkLine(tx, line); err != nil {
				return err
			}
		}
		return nil
	})
}

func (im *importer) checkLine(tx Tx, line importLine) error {
	switch {
	case line.person != nil:
		if problem := line.person.problem(im.core.now()); problem != "" {
			return refuseLine(line.number, "%s", problem)
		}
		return im.checkPerson(tx, line)
	case line.session != nil:
		if problem := line.session.problem(im.core.now()); problem != "" {
			return refuseLine(line.number, "%s", problem)
		}
		return im.checkSession(tx, line)
	}
	return im.checkKey(line)
}

func (p *exportPerson) problem(now time.Time) string {
	if _, ok := ParseName(p.Name); !ok {
		return "the name is longer than 100 characters or has some that are not seen"
	}
	switch {
	case !isKeyPart(p.Subject):
		return "sub is missing or not letters, digits, - and _ only"
	case p.Address.IsZero():
		return "email is missing"
	case p.Created.After(now.Add(clockSkew)):
		return "created lies in the future"
	}
	return ""
}

// problem tells what no session of ours can look like.
func (r *sessionRecord) problem(now time.Time) string {
	_, err := ParseOrigin(r.Issuer)
	switch {
	case !isKeyPart(r.ID) || !isKeyPart(r.Subject):
		return "sid or sub is missing or not letters, digits, - and _ only"
	case err != nil:
		return "iss is not an origin as in https://app.example.com"
	case r.Audience == "" || len(r.Audience) > 300:
		return "aud is missing or too long"
	case r.AuthTime.IsZero() || r.AuthTime.After(now.Add(clockSkew)):
		return "auth_time is missing or lies in the future"
	case r.Expires.Before(r.AuthTime) || r.Expires.Sub(r.AuthTime) > keyKept:
		return "expires is missing, before auth_time, or more than 30 days after it"
	case len(r.AMR) == 0 || len(r.AMR) > 8 || len(r.Sites) > maxSites:
		return "amr is missing, or amr or sites is too long"
	case shortAgent(r.Agent) != r.Agent || len(r.Network) > 64:
		return "agent or network is too long or has characters that can't stand there"
	case r.Next != "" && !isKeyPart(r.Next), r.Parent != "" && !isKeyPart(r.Parent):
		return "next or parent is no session id"
	case r.Machine != nil:
		return "machine tokens are not taken over; make them anew"
	}
	return ""
}

// checkPerson finds out whether subject or address is somebody else's, in the
// store or in the file.
func (im *importer) checkPerson(tx Tx, line importLine) error {
	p := line.person
	if a, known := im.people[p.Subject]; known && a != p.Address {
		return refuseLine(line.number, "another line gives the same sub another email")
	}
	if sub, known := im.addresses[p.Address]; known && sub != p.Subject {
		return refuseLine(line.number, "another line gives the same email another sub")
	}
	im.people[p.Subject], im.addresses[p.Address] = p.Address, p.Subject
	return clash(tx, line)
}

// clash tells whether the person contradicts one in the store.
func clash(tx Tx, line importLine) error {
	p := line.person
	old, err := loadPerson(tx, p.Subject)
	if err != nil {
		return err
	}
	if old != nil && (old.Address != p.Address || !old.isAccount()) {
		return refuseLine(line.number, "its sub is another person's here; take the line out, with that person's sessions")
	}
	var sub string
	known, err := load(tx, keyAddress+p.Address.String(), &sub)
	if err != nil {
		return err
	}
	if known && sub != p.Subject {
		return refuseLine(line.number, "its email has signed in here already, with the sub %s; delete that person first (gatehouse users %[1]s --delete), or take the line out with that person's sessions", sub)
	}
	return nil
}

func (im *importer) checkSession(tx Tx, line importLine) error {
	r := line.session
	old, err := loadSession(tx, r.ID)
	if err != nil {
		return err
	}
	if old != nil && (old.Subject != r.Subject || old.Audience != r.Audience) {
		return refuseLine(line.number, "its sid is another person's session here; take the line out")
	}
	if _, known := im.people[r.Subject]; known {
		return nil
	}
	p, err := loadPerson(tx, r.Subject)
	if err == nil && (p == nil || !p.isAccount()) {
		return refuseLine(line.number, "it is a session of somebody who is neither in the lines before it nor here")
	}
	return err
}

func (im *importer) checkKey(line importLine) error {
	switch created := line.key.Created; {
	case created.IsZero() || created.After(im.core.now().Add(clockSkew)):
		return refuseLine(line.number, "created is missing or lies in the future")
	case im.core.revoked(created):
		return refuseLine(line.number, "the key was revoked here; take the line out")
	}
	for _, ring := range []*keyring{im.core.keys, im.core.rsaKeys} {
		if string(ring.alg) != line.key.Alg {
			continue
		}
		if _, err := ring.unsealed(*line.key); err != nil {
			return refuseLine(line.number, "this instance can't open the key: it was wrapped with another secret, or changed; write that secret after the current one (secret <new> <old>) and restart, or export without keys")
		}
		return nil
	}
	return refuseLine(line.number, "alg is unknown")
}
