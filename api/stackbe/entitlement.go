package stackbe

import (
	"context"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/api"
	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/person"
)

// planOf is the plan that counts: the organization's for who acts for one, else
// the person's own. nil for none.
func (a *API) planOf(ctx context.Context, app *apps.App, p *person.Person, org string) (*apps.Plan, error) {
	if app == nil {
		return nil, nil
	}
	if org == "" {
		return app.Plan(p.Plan), nil
	}
	o, _, err := a.service.Organizations().Find(ctx, p.Realm, org, "")
	if err != nil || o == nil {
		return nil, err
	}
	return app.Plan(o.Plan), nil
}

func planName(p *apps.Plan) *string {
	if p == nil {
		return nil
	}
	if p.Name == "" {
		return &p.ID
	}
	return &p.Name
}

func features(p *apps.Plan) map[string]any {
	if p == nil || p.Entitlements == nil {
		return map[string]any{}
	}
	return p.Entitlements
}

// entitled finds out whose entitlements are asked for: a customer's, named by
// who has the key, or those of the session whose token is shown.
func (a *API) entitled(c *api.Call) (*apps.Plan, error) {
	q, err := c.Query()
	if err != nil {
		return nil, err
	}
	if s := c.Session; s != nil {
		return a.planOf(c.R.Context(), c.Caller.App, &s.Person, s.Org)
	}
	id, org := q.Need("customerId"), q.String("organizationId")
	if err := q.Err(); err != nil {
		return nil, err
	}
	p, err := a.person(c, id)
	if err != nil {
		return nil, err
	}
	if org != "" {
		if err := organizationsOn(c.Caller.App); err != nil {
			return nil, err
		}
		if org, err = a.orgOf(c, p, org); err != nil {
			return nil, err
		}
	}
	return a.planOf(c.R.Context(), c.Caller.App, p, org)
}

// orgOf returns the id of an organization that the customer is a member of.
func (a *API) orgOf(c *api.Call, p *person.Person, org string) (string, error) {
	o, _, err := a.service.Organizations().Find(c.R.Context(), p.Realm, cut(org, orgPrefix), p.Subject)
	if err != nil {
		return "", err
	}
	if o == nil {
		return "", api.Refuse(http.StatusForbidden, codeUnauthorized, "The customer is not a member of this organization.")
	}
	return o.ID, nil
}

// subscription is what a plan gives. There is no billing, hence no end of a
// period.
type subscription struct {
	PlanID           *string        `json:"planId"`
	PlanName         *string        `json:"planName"`
	Status           *string        `json:"status"`
	Entitlements     map[string]any `json:"entitlements"`
	CurrentPeriodEnd *string        `json:"currentPeriodEnd"`
}

func (a *API) entitlements(c *api.Call) error {
	plan, err := a.entitled(c)
	if err != nil {
		return err
	}
	out := subscription{PlanName: planName(plan), Entitlements: features(plan)}
	if plan != nil {
		out.PlanID, out.Status = &plan.ID, orNull("active")
	}
	return c.Answer(http.StatusOK, out)
}

// access is the answer about one feature.
type access struct {
	HasAccess bool   `json:"hasAccess"`
	Value     any    `json:"value"`
	Code      string `json:"code,omitempty"`
}

func (a *API) checkEntitlement(c *api.Call) error {
	plan, err := a.entitled(c)
	if err != nil {
		return err
	}
	if plan == nil {
		return c.Answer(http.StatusOK, access{Code: codeNoSubscription})
	}
	value, there := plan.Entitlements[c.Param("feature")]
	if !there {
		return c.Answer(http.StatusOK, access{Code: codeFeature})
	}
	return c.Answer(http.StatusOK, access{HasAccess: grants(value), Value: value})
}

// grants tells whether a value of a plan is more than nothing.
func grants(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case int64:
		return v > 0
	case []string:
		return len(v) > 0
	}
	return false
}
