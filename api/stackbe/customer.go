package stackbe

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// customer is a person on the wire.
type customer struct {
	ID         string          `json:"id"`
	Email      string          `json:"email"`
	Name       *string         `json:"name"`
	Metadata   json.RawMessage `json:"metadata"`
	ExternalID *string         `json:"externalId,omitempty"`
	Plan       *string         `json:"plan"`
	CreatedAt  string          `json:"createdAt"`
}

// customerOf names the customer by asked, if they are known by it.
func customerOf(p *person.Person, asked address.Address) customer {
	c := customer{
		ID: customerPrefix + p.Subject, Email: p.Shown(asked).String(), Metadata: p.Metadata,
		Name: orNull(p.Name), ExternalID: orNull(p.External), Plan: orNull(p.Plan), CreatedAt: timestamp(p.Created),
	}
	if c.Metadata == nil {
		c.Metadata = json.RawMessage("{}")
	}
	return c
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

var errNoCustomer = api.Refuse(http.StatusNotFound, codeNoCustomer, "Customer not found")

// person finds the customer with an id of ours.
func (a *API) person(c *api.Call, id string) (*person.Person, error) {
	p, err := a.service.Apps().Person(c.R.Context(), c.Caller.Realm(), person.Whom{Subject: cut(id, customerPrefix)})
	if err == nil && p == nil {
		err = errNoCustomer
	}
	return p, err
}

func (a *API) getCustomer(c *api.Call) error {
	p, err := a.person(c, c.Param("id"))
	if err != nil {
		return err
	}
	return c.Answer(http.StatusOK, customerOf(p, address.Address{}))
}

// findCustomer finds a customer by address.
func (a *API) findCustomer(c *api.Call) error {
	q, err := c.Query()
	if err != nil {
		return err
	}
	text := q.Need("email")
	if err := q.Err(); err != nil {
		return err
	}
	address, err := email(text)
	if err != nil {
		return err
	}
	p, err := a.service.Apps().Person(c.R.Context(), c.Caller.Realm(), person.Whom{Email: address})
	if err != nil {
		return err
	}
	if p == nil {
		return errNoCustomer
	}
	return c.Answer(http.StatusOK, customerOf(p, address))
}

// createCustomer makes a customer, or returns the one who has the address: a
// caller that repeats itself changes nothing.
func (a *API) createCustomer(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	text := o.Need("email")
	draft, err := draftOf(c.Caller.App, o)
	if err != nil {
		return err
	}
	addr, err := email(text)
	if err != nil {
		return err
	}
	draft.Emails = []address.Address{addr}
	p, v, err := a.service.Apps().CreatePerson(c.R.Context(), c.Caller.App, c.Caller.Realm(), draft)
	if err != nil {
		return err
	}
	if _, same := p.Contact(addr.String()); v == event.Taken && same {
		return c.Answer(http.StatusOK, customerOf(&p, addr))
	}
	if err := refuseDraft(v); err != nil {
		return err
	}
	return c.Answer(http.StatusCreated, customerOf(&p, addr))
}

// draftOf reads what a customer is made of, but for the address.
func draftOf(app *apps.App, o *api.Object) (person.Draft, error) {
	var d person.Draft
	for field, to := range map[string]**string{"name": &d.Name, "externalId": &d.External, "plan": &d.Plan} {
		if o.Has(field) {
			text := o.String(field)
			*to = &text
		}
	}
	if raw := o.Raw("metadata"); raw != nil {
		o.Object("metadata")
		d.Metadata = bytes.Clone(raw)
	}
	if err := o.Err(); err != nil {
		return d, err
	}
	if d.Plan != nil && app.Plan(*d.Plan) == nil {
		return d, &api.Refusal{Status: http.StatusBadRequest, Code: codePlanNotFound, Message: "Plan not found", Field: "plan"}
	}
	return d, nil
}

func refuseDraft(v event.Verdict) error {
	switch v {
	case event.Accepted:
		return nil
	case event.Taken:
		return api.Refuse(http.StatusBadRequest, codeValidation, "Another customer has this email or externalId.")
	case event.Unknown:
		return errNoCustomer
	}
	return api.Refuse(http.StatusBadRequest, codeValidation, "A field is too long: names have at most 256 bytes, metadata 16 KiB.")
}

// updateCustomer changes the fields that are there. A new address takes the
// place of the old one and is unproved until a link to it is used; links to the
// old one, and sessions that began with them, end.
func (a *API) updateCustomer(c *api.Call) error {
	o, err := c.JSON()
	if err != nil {
		return err
	}
	draft, err := draftOf(c.Caller.App, o)
	if err != nil {
		return err
	}
	before, err := a.person(c, c.Param("id"))
	if err != nil {
		return err
	}
	if text := o.String("email"); text != "" {
		address, err := email(text)
		if err != nil {
			return err
		}
		draft.Address = &address
	}
	p, v, err := a.service.Apps().UpdatePerson(c.R.Context(), c.Caller.Realm(), person.Whom{Subject: before.Subject}, draft)
	if err != nil {
		return err
	}
	if err := refuseDraft(v); err != nil {
		return err
	}
	out := customerOf(&p, address.Address{})
	if draft.Address != nil {
		out.Email = draft.Address.String() // the app's own word
	}
	return c.Answer(http.StatusOK, out)
}
