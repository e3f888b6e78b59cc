package stackbe

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/organization"
)

// invitation is one on the wire.
type invitation struct {
	ID             string            `json:"id"`
	OrganizationID string            `json:"organizationId"`
	Email          string            `json:"email"`
	Role           organization.Role `json:"role"`
	Status         string            `json:"status"`
	CreatedAt      string            `json:"createdAt"`
	ExpiresAt      string            `json:"expiresAt"`
}

func invitationOf(i *organization.Invite) invitation {
	return invitation{invitePrefix + i.ID, orgPrefix + i.Org, i.Email.String(), i.Role, "pending", timestamp(i.Created), timestamp(i.Expires)}
}

// invite invites an address. Inviting it again renews the invitation and sends
// another mail.
func (a *API) invite(c *api.Call) error {
	org, s, o, err := a.enterWith(c)
	if err != nil {
		return err
	}
	text, callback := o.Need("email"), o.String("redirectUrl")
	role, err := roleIn(o)
	if err != nil {
		return err
	}
	address, err := email(text)
	if err != nil {
		return err
	}
	in, err := askInvite(c, callback)
	if err != nil {
		return err
	}
	in.Whom.Email = address
	i, asked, err := a.service.Apps().SendInvite(c.R.Context(), in, org.ID, by(s), role)
	return answerInvite(c, http.StatusCreated, &i, asked, err, errNoOrganization)
}

// askInvite is the mail of an invitation, whose link signs the invited in and
// makes them a member.
func askInvite(c *api.Call, callback string) (apps.Ask, error) {
	callback, err := callbackFor(c, callback, false)
	return apps.Ask{
		Caller: c.Caller, Known: linkTerms(c, callback), Slot: slot, Origin: c.LinksAt(), Client: c.Client, Language: c.Language(),
	}, err
}

// answerInvite tells what came of it; unknown is the refusal of what is not there.
func answerInvite(c *api.Call, status int, i *organization.Invite, asked apps.Asked, err error, unknown *api.Refusal) error {
	switch {
	case err != nil:
		return err
	case asked.Verdict == event.Unknown:
		return unknown
	case asked.Verdict == event.Forbidden:
		return errRole
	}
	if err := refuseAsk(asked); err != nil {
		return err
	}
	return c.Answer(status, invitationOf(i))
}

func (a *API) listInvites(c *api.Call) error {
	org, s, _, err := a.enter(c)
	if err != nil {
		return err
	}
	list, v, err := a.service.Organizations().Invites(c.R.Context(), org.Realm, org.ID, by(s))
	switch {
	case err != nil:
		return err
	case v == event.Forbidden:
		return errRole
	case v != event.Accepted:
		return errNoOrganization
	}
	out := []invitation{}
	for _, i := range list {
		out = append(out, invitationOf(&i))
	}
	return c.Answer(http.StatusOK, out)
}

// resendInvite renews an invitation that waits and mails it again.
func (a *API) resendInvite(c *api.Call) error {
	org, s, o, err := a.enterWith(c)
	if err != nil {
		return err
	}
	callback := o.String("redirectUrl")
	if err := o.Err(); err != nil {
		return err
	}
	in, err := askInvite(c, callback)
	if err != nil {
		return err
	}
	i, asked, err := a.service.Apps().ResendInvite(c.R.Context(), in, org.ID, cut(c.Param("inviteId"), invitePrefix), by(s))
	return answerInvite(c, http.StatusOK, &i, asked, err, errNoInvite)
}

// withdrawInvite takes back an invitation that waits, and its link.
func (a *API) withdrawInvite(c *api.Call) error {
	org, s, _, err := a.enter(c)
	if err != nil {
		return err
	}
	v, err := a.service.Organizations().Withdraw(c.R.Context(), org.Realm, org.ID, cut(c.Param("inviteId"), invitePrefix), by(s))
	switch {
	case err != nil:
		return err
	case v == event.Forbidden:
		return errRole
	case v != event.Accepted:
		return errNoInvite
	}
	return c.Answer(http.StatusOK, map[string]any{"success": true})
}

var errNoInvite = api.Refuse(http.StatusNotFound, codeNotFound, "Invite not found")

// acceptInvite makes the session's person a member, and answers with that also
// who is one already by this invitation.
func (a *API) acceptInvite(c *api.Call) error {
	s := c.Session
	if err := organizationsOn(c.Caller.App); err != nil {
		return err
	}
	o, err := c.JSON()
	if err != nil {
		return err
	}
	id := cut(o.Need("inviteId"), invitePrefix)
	if err := o.Err(); err != nil {
		return err
	}
	m, v, err := a.service.Organizations().Accept(c.R.Context(), s.Person.Realm, id, s.Person.Subject)
	if err != nil {
		return err
	}
	if v == event.Accepted || v == event.Used && m.Role != "" {
		return c.Answer(http.StatusOK, memberOf(&m, s.Address))
	}
	switch v {
	case event.Used:
		return api.Refuse(http.StatusBadRequest, codeTokenUsed, "The invite has already been used.")
	case event.Expired:
		return api.Refuse(http.StatusBadRequest, codeTokenExpired, "The invite has expired.")
	case event.Forbidden:
		return api.Refuse(http.StatusForbidden, codeUnauthorized, "The invite is for another email address.")
	}
	return errNoInvite
}
