package streambird

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// user is a person on the wire.
type user struct {
	UserID        string      `json:"user_id"`
	AppID         string      `json:"app_id"`
	FirstName     string      `json:"first_name"`
	MiddleName    string      `json:"middle_name"`
	LastName      string      `json:"last_name"`
	Status        string      `json:"status"`
	Active        bool        `json:"active"`
	UpdatedAt     int64       `json:"updated_at"`
	CreatedAt     int64       `json:"created_at"`
	EmailID       *string     `json:"email_id"`
	PhoneNumberID *string     `json:"phone_number_id"`
	Emails        []userEmail `json:"emails"`
	PhoneNumbers  []userPhone `json:"phone_numbers"`
	Wallets       []struct{}  `json:"wallets"` // always empty, as the next two
	Totps         []struct{}  `json:"totps"`
	IDPProviders  []struct{}  `json:"idp_providers"`
}

type contact struct {
	ID        string `json:"id"`
	Verified  bool   `json:"verified"`
	UpdatedAt int64  `json:"updated_at"`
	CreatedAt int64  `json:"created_at"`
}

type userEmail struct {
	contact
	Email string `json:"email"`
}

type userPhone struct {
	contact
	PhoneNumber string `json:"phone_number"`
}

func userOf(p *person.Person) user {
	u := user{
		UserID: userPrefix + p.Subject, AppID: appPrefix + p.Realm.App, Status: status(p), Active: !p.Pending,
		FirstName: p.Names.First, MiddleName: p.Names.Middle, LastName: p.Names.Last,
		UpdatedAt: p.Updated.Unix(), CreatedAt: p.Created.Unix(), Emails: []userEmail{}, PhoneNumbers: []userPhone{},
		Wallets: []struct{}{}, Totps: []struct{}{}, IDPProviders: []struct{}{},
	}
	for _, c := range p.Emails {
		u.Emails = append(u.Emails, userEmail{contactOf(emailPrefix, c), c.Value})
	}
	for _, c := range p.Phones {
		u.PhoneNumbers = append(u.PhoneNumbers, userPhone{contactOf(phonePrefix, c), c.Value})
	}
	u.EmailID, u.PhoneNumberID = firstID(emailPrefix, p.Named(p.Emails), p.Emails), firstID(phonePrefix, p.Named(p.Phones), p.Phones)
	return u
}

// firstID is the id of the first contact of the lists, nil for none.
func firstID(prefix string, lists ...[]person.Contact) *string {
	for _, list := range lists {
		if len(list) > 0 {
			id := prefix + list[0].ID
			return &id
		}
	}
	return nil
}

func contactOf(prefix string, c person.Contact) contact {
	return contact{prefix + c.ID, c.Verified, c.Updated.Unix(), c.Created.Unix()}
}

// namesOf reads the parts of a name; what is not there stays as it was.
func namesOf(o *api.Object, names person.Names) person.Names {
	for field, to := range map[string]*string{"first_name": &names.First, "middle_name": &names.Middle, "last_name": &names.Last} {
		if o.Has(field) {
			*to = o.String(field)
		}
	}
	return names
}

func refuseDraft(v event.Verdict) error {
	switch v {
	case event.Accepted:
		return nil
	case event.Taken:
		return api.Refuse(http.StatusConflict, typeDuplicate, "Another user has this email or phone_number.")
	case event.Unknown:
		return errNoUser
	}
	return refuse(typeRequest, "A name is longer than 256 bytes, or there are more than 20 emails or phone_numbers.")
}

func (a *API) createUser(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	mail, number, pending := o.String("email"), o.String("phone_number"), o.Bool("requires_verification")
	names := namesOf(o, person.Names{})
	if err := o.Err(); err != nil {
		return err
	}
	if mail == "" && number == "" {
		return refuse(typeRequest, "email or phone_number is missing.")
	}
	d := person.Draft{Names: &names, Pending: &pending}
	if err := addContact(&d, mail, number); err != nil {
		return err
	}
	p, v, err := a.service.Apps().CreatePerson(c.R.Context(), c.Caller.App, c.Caller.Realm(), d)
	if err != nil {
		return err
	}
	if err := refuseDraft(v); err != nil {
		return err
	}
	return c.Answer(http.StatusOK, userOf(&p))
}

// addContact adds an address and a number, each if it is there.
func addContact(d *person.Draft, mail, number string) error {
	if mail != "" {
		address, err := email(mail)
		if err != nil {
			return err
		}
		d.Emails = append(d.Emails, address)
	}
	if number != "" {
		n, err := phone(number)
		if err != nil {
			return err
		}
		d.Phones = append(d.Phones, n)
	}
	return nil
}

// person finds the user that the path names.
func (a *API) person(c *api.Call) (*person.Person, error) {
	p, err := a.service.Apps().Person(c.R.Context(), c.Caller.Realm(), person.Whom{Subject: cut(c.Param("user_id"), userPrefix)})
	if err == nil && p == nil {
		err = errNoUser
	}
	return p, err
}

func (a *API) getUser(c *api.Call) error {
	p, err := a.person(c)
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, userOf(p))
}

// updateUser changes names and attaches addresses and numbers, unproved.
func (a *API) updateUser(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	p, err := a.person(c)
	if err != nil {
		return err
	}
	names := namesOf(o, p.Names)
	d := person.Draft{Names: &names}
	for list, field := range map[string]string{"emails": "email", "phone_numbers": "phone_number"} {
		if err := attach(&d, o, list, field); err != nil {
			return err
		}
	}
	if err := o.Err(); err != nil {
		return err
	}
	changed, v, err := a.service.Apps().UpdatePerson(c.R.Context(), c.Caller.Realm(), person.Whom{Subject: p.Subject}, d)
	if err != nil {
		return err
	}
	if err := refuseDraft(v); err != nil {
		return err
	}
	u := userOf(&changed)
	return c.Answer(http.StatusOK, map[string]any{"user_id": u.UserID, "emails": u.Emails, "phone_numbers": u.PhoneNumbers, "user": u})
}

// attach reads a list of objects with one field each.
func attach(d *person.Draft, o *api.Object, list, field string) error {
	if !o.Has(list) {
		return nil
	}
	for _, item := range o.Objects(list) { // none: the original's clients always send the lists
		text := item.Need(field)
		if err := item.Err(); err != nil {
			return err
		}
		mail, number := text, ""
		if field == "phone_number" {
			mail, number = "", text
		}
		if err := addContact(d, mail, number); err != nil {
			return err
		}
	}
	return nil
}

var errLastOwner = api.Refuse(http.StatusConflict, typeLastOwner, "The user is the last owner of an organization that has other members. Make one of them an owner first.")

// deleteUser deletes a user, with all sessions and places in organizations,
// which an app has if it uses another wire format as well.
func (a *API) deleteUser(c *api.Call) error {
	id := c.Param("user_id")
	gone, err := a.service.Core().Apps().Delete(c.R.Context(), apps.Deletion{Realm: c.Caller.Realm(), Subject: cut(id, userPrefix), Reason: "person_deleted"})
	switch {
	case err != nil:
		return err
	case gone.Verdict == event.Forbidden:
		return errLastOwner
	case gone.Verdict != event.Accepted:
		return errNoUser
	}
	return c.Answer(http.StatusOK, map[string]any{"message": "Successfully deleted user", "user_id": id})
}

func (a *API) deleteEmail(c *api.Call) error { return a.deleteContact(c, emailPrefix, "email") }

func (a *API) deletePhone(c *api.Call) error { return a.deleteContact(c, phonePrefix, "phone number") }

func (a *API) deleteContact(c *api.Call, prefix, what string) error {
	ctx, realm, id := c.R.Context(), c.Caller.Realm(), cut(c.Param("id"), prefix)
	p, err := a.service.Apps().Person(ctx, realm, person.Whom{Contact: id})
	if err != nil {
		return err
	}
	missing := api.Refuse(http.StatusNotFound, typeNotFound, "There is no such "+what+".")
	if p == nil {
		return missing
	}
	found, _ := p.Contact(id)
	if got, _ := methodID(found); got != c.Param("id") {
		return missing // a number's id where an address's was meant
	}
	changed, v, err := a.service.Apps().RemoveContact(ctx, realm, id)
	if err != nil {
		return err
	}
	if v != event.Accepted {
		return missing
	}
	return c.Answer(http.StatusOK, map[string]any{"message": "Successfully deleted user " + what, "user_id": userPrefix + changed.Subject})
}
