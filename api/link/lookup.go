package link

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
)

type lookupAnswer struct {
	Result     string `json:"result"`
	Parameters struct {
		Email string `json:"email"`
		Key   string `json:"STRIPE_PUBLIC_KEY"`
	} `json:"parametersSubmitted"`
	Exists bool `json:"userExistsOnLink"`
	Secret any  `json:"client_secret"`
	Phone  any  `json:"redacted_phone_number"`
}

// shown reads the key: a lookup's stands among its fields.
func shown(c *api.Call, rights api.Rights) (api.Holder, error) {
	if rights.Nobody != 0 {
		return c.Authenticate(name, perKey)
	}
	c.AllowOrigin()
	in, err := lookupFields(c)
	if err != nil {
		return api.Nobody, err
	}
	// One client's calls count first: all visitors share the key, and none may use
	// it up for the others.
	if client := c.Service.CountClient(name+" lookup", c.Client); client.Over {
		return api.Nobody, c.Spend(client)
	}
	holder, err := c.Identify(name, in.String("STRIPE_PUBLIC_KEY"), perKey)
	if err == nil { // who asks from everywhere is bounded, too: the answer tells who is known
		err = c.Count(name+" lookups "+c.Caller.Key.ID(), perKey)
	}
	return holder, err
}

// lookup tells whether an address is known. Whoever holds a publishable key can
// ask about any address: that is what the call is for, so it is limited for
// each key and each client.
func (a *API) lookup(c *api.Call) error {
	in, err := lookupFields(c)
	if err != nil {
		return err
	}
	key := in.String("STRIPE_PUBLIC_KEY")
	address, err := in.Email()
	if err != nil {
		return err
	}
	who, err := a.find(c, address)
	if err != nil {
		return err
	}
	out := lookupAnswer{Result: "success", Exists: who != nil}
	out.Parameters.Email, out.Parameters.Key = in.String("email"), key
	if who != nil {
		out.Secret, out.Phone = a.service.Apps().Handle(c.Caller.Realm(), address), redacted(who.phone)
	}
	return c.Answer(http.StatusOK, out)
}

func lookupFields(c *api.Call) (*api.Object, error) {
	if c.R.Method == http.MethodPost {
		return c.JSONOrForm()
	}
	return c.Query()
}

// open reads which address a call is about, and sets the caller whose
// client_secret it carries.
func (a *API) open(c *api.Call, in *api.Object) (address.Address, string, error) {
	secret := in.Need("client_secret")
	address, err := in.Email()
	if err != nil {
		return address, "", err
	}
	caller, v := a.service.Apps().OpenHandle(address, secret)
	switch v {
	case event.Accepted:
		c.Caller = caller
		return address, secret, nil
	case event.Expired:
		return address, "", api.Refuse(http.StatusUnauthorized, api.CodeUnauthorized, "This client_secret has expired. Look the email up again.")
	}
	return address, "", api.Refuse(http.StatusUnauthorized, api.CodeUnauthorized, "This client_secret is not known for this email. Look the email up again.")
}
