package streambird

import (
	"net/http"
	"net/netip"
	"slices"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// device is what a call says about the end user's device.
type device struct {
	fingerprint *session.Fingerprint // nil for nothing
	client      netip.Addr           // the end user's, else the caller's
	endUser     bool                 // client is the end user's own
}

// deviceOf reads device_fingerprint. One of the original's clients spells it as
// DeviceFingerprint.
func deviceOf(c *api.Call, o *api.Object) (device, error) {
	d := device{client: c.Client, endUser: c.Holder == api.Publishable}
	field := "device_fingerprint"
	if !o.Has(field) {
		field = "DeviceFingerprint"
	}
	if !o.Has(field) {
		if d.endUser { // a browser need not describe itself
			d.fingerprint = &session.Fingerprint{IP: ipText(c.Client), UserAgent: c.R.UserAgent()}
		}
		return d, o.Err()
	}
	f := o.Object(field)
	seen := session.Fingerprint{IP: f.String("ip"), UserAgent: f.String("user_agent")}
	for _, err := range []error{o.Err(), f.Err()} {
		if err != nil {
			return d, err
		}
	}
	if len(seen.UserAgent) > 1024 {
		return d, api.Malformed(field+".user_agent", "at most 1024 bytes long")
	}
	if seen.IP != "" {
		addr, err := netip.ParseAddr(seen.IP)
		if err != nil {
			return d, api.Malformed(field+".ip", "an IP address")
		}
		seen.IP = ipText(addr)
		if !d.endUser { // a browser's word for its address is not taken
			d.client, d.endUser = addr, true
		}
	}
	d.fingerprint = &seen
	return d, nil
}

// ipText is an address in the form in which it is compared.
func ipText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

func (d device) agent() string {
	if d.fingerprint == nil {
		return ""
	}
	return d.fingerprint.UserAgent
}

// matching is what must be the same as where the link was asked for: what the
// app says, and what this call adds.
func matching(app *apps.App, o *api.Object) (apps.FingerprintUse, error) {
	use := app.Fingerprint
	for _, part := range o.Strings("match_device_fingerprint") {
		if !slices.Contains([]string{"ip", "user_agent"}, part) {
			return use, api.Malformed("match_device_fingerprint", `a list of "ip" and "user_agent"`)
		}
		use.IP = use.IP || part == "ip"
		use.UserAgent = use.UserAgent || part == "user_agent"
	}
	return use, o.Err()
}

// creates tells whether the call makes a user of an address that is not known.
// Only the app itself does where auto_create is off: a publishable key is in every
// stranger's hands, and who is a user may sign in by all calls.
func creates(c *api.Call) bool { return c.Holder == api.Secret || c.Caller.App.AutoCreate }

// refuseAsk says why nothing was made; nil when it was.
func refuseAsk(asked apps.Asked) error {
	switch asked.Verdict {
	case event.Accepted:
		return nil
	case event.Unknown:
		return errNoUser
	case event.MailDown:
		return api.MailDown(asked.RetryAfter)
	}
	return api.Limited(asked.RetryAfter)
}

// errNotMade is errNoUser where the call would have made one.
var errNotMade = api.Refuse(http.StatusNotFound, typeNotFound, "User not found, and auto_create is off in the app's block of the configuration: only calls with a secret key make users.")

var errNoUser = api.Refuse(http.StatusNotFound, typeNotFound, "User not found.")
