package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
	"github.com/gatehouse-auth/gatehouse/internal/web"
)

func init() { caddy.RegisterModule(adminAPI{}) }

// adminAPI is what operators ask and tell a running Gatehouse, at Caddy's admin
// endpoint:
//
//	GET    /gatehouse/status                       how it is
//	GET    /gatehouse/sessions                     ?after=&limit=&user=
//	DELETE /gatehouse/sessions/{sid}
//	GET    /gatehouse/users                        ?after=&limit=
//	GET    /gatehouse/users/{sub|email}
//	DELETE /gatehouse/users/{sub|email}
//	POST   /gatehouse/users/{sub|email}/end-sessions
//	GET    /gatehouse/apps                         the clients of the JSON APIs
//	POST   /gatehouse/keys/rotate                  {"revoke": true}
//	POST   /gatehouse/test-email                   {"to": "…"}
//	POST   /gatehouse/doctor                       {"mail_to": "…"} or {"received": "…"}
//	POST   /gatehouse/unlock                       {"email": "…"}
//	POST   /gatehouse/admit                        {"email": "…", "ref": "…", "yes": true}
//	GET    /gatehouse/why                          ?email=&site=, also POST
//	GET    /gatehouse/export                       ?keys=true
//	POST   /gatehouse/import
//
// Caddy makes it before any app and never cleans it up, so it holds nothing:
// each request looks for the app that is in use.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return adminAPI{} }}
}

// Routes implements caddy.AdminRouter.
func (adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: cli.Root, Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

// adminCall is one request to the admin API.
type adminCall struct {
	*operate.Instance
	w   http.ResponseWriter
	r   *http.Request
	ctx context.Context
	by  netip.Addr // who calls
	id  string     // what stands in the path after the collection's name
	log *zap.Logger

	status int // of the answer, unless it is 200 or 204
}

// adminRoutes are the methods of each path; * is one id. What a method returns
// is the answer's JSON, nil for none.
var adminRoutes = map[string]map[string]func(*adminCall) (any, error){
	"status":     {"GET": adminStatus},
	"sessions":   {"GET": adminSessions},
	"sessions/*": {"DELETE": func(c *adminCall) (any, error) { return nil, c.EndSession(c.ctx, c.by, c.id) }},
	"users":      {"GET": adminUsers},
	"users/*": {
		"GET":    func(c *adminCall) (any, error) { return c.User(c.ctx, c.id) },
		"DELETE": adminDeleteUser,
	},
	"users/*/end-sessions": {"POST": func(c *adminCall) (any, error) { return nil, c.EndSessionsOf(c.ctx, c.by, c.id) }},
	"apps":                 {"GET": func(c *adminCall) (any, error) { return operate.AppList{Apps: c.Apps()}, nil }},
	"keys/rotate":          {"POST": adminRotate},
	"test-email":           {"POST": adminTestEmail},
	"doctor":               {"POST": adminDoctor},
	"unlock":               {"POST": adminUnlock},
	"admit":                {"POST": adminAdmit},
	"why":                  {"GET": adminWhy, "POST": adminWhy},
	"export":               {"GET": adminExport},
	"import":               {"POST": func(c *adminCall) (any, error) { return c.Import(c.ctx, c.by, c.r.Body) }},
}

// refusedStatus puts a no of operate into HTTP.
var refusedStatus = map[operate.Kind]int{
	operate.Malformed: http.StatusBadRequest, operate.NotFound: http.StatusNotFound, operate.Conflict: http.StatusConflict,
}

func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	name, id := adminRoute(strings.TrimPrefix(r.URL.Path, cli.Root))
	methods, ok := adminRoutes[name]
	if !ok {
		return refuseCall(http.StatusNotFound, "there is no such path; GET /gatehouse/status tells how this instance is")
	}
	handle, ok := methods[r.Method]
	if !ok {
		var allowed []string
		for _, m := range []string{"GET", "POST", "DELETE"} {
			if methods[m] != nil {
				allowed = append(allowed, m)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return refuseCall(http.StatusMethodNotAllowed, "this path takes %s", strings.Join(allowed, " and "))
	}
	app := appInUse()
	if app == nil {
		w.Header().Set("Retry-After", "5")
		return refuseCall(http.StatusServiceUnavailable, "no configuration with Gatehouse is running")
	}
	call := &adminCall{Instance: app.instance, w: w, r: r, ctx: r.Context(), id: id, log: app.log}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		call.by = from.Addr().Unmap()
	}
	answer, err := handle(call)
	if refused := new(operate.Refusal); errors.As(err, &refused) {
		return refuseCall(refusedStatus[refused.Kind], "%w", err)
	}
	if api := new(caddy.APIError); errors.As(err, api) {
		return err
	}
	if err == nil {
		return call.answer(answer)
	}
	app.log.Error("a call of the admin API failed", zap.String("path", name), zap.Error(err))
	w.Header().Set("Retry-After", "5")
	return refuseCall(http.StatusServiceUnavailable, "it can't be told or done now; the log says why")
}

// adminStatus also runs the doctor's checks with ?doctor=true, and with
// ?proxy=nginx and the like writes that proxy's configuration.
func adminStatus(c *adminCall) (any, error) {
	q, out := c.r.URL.Query(), c.Status()
	if proxy := q.Get("proxy"); proxy != "" {
		var err error
		if out.Snippet, err = c.Snippet(proxy); err != nil {
			return nil, err
		}
	}
	if q.Get("doctor") == "true" {
		out.Findings = c.Examine(c.ctx)
	}
	return out, nil
}

func adminSessions(c *adminCall) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	var page operate.SessionPage
	if q := c.r.URL.Query(); q.Has("user") {
		page, err = c.SessionsOf(c.ctx, q.Get("user"))
	} else {
		page, err = c.Sessions(c.ctx, after, limit)
	}
	return map[string]any{"sessions": page.Sessions, "next": page.Next}, err
}

func adminUsers(c *adminCall) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	page, err := c.Users(c.ctx, after, limit)
	return map[string]any{"users": page.Users, "next": page.Next}, err
}

func adminDeleteUser(c *adminCall) (any, error) {
	deleted, err := c.DeleteUser(c.ctx, c.by, c.id)
	if err != nil || len(deleted.WithoutOwner) == 0 {
		return nil, err
	}
	return deleted, nil
}

func adminRotate(c *adminCall) (any, error) {
	in := struct {
		Revoke bool `json:"revoke"`
	}{c.r.URL.Query().Get("revoke") == "true"}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	kid, err := c.RotateKeys(c.ctx, c.by, in.Revoke)
	return map[string]any{"kid": kid, "revoked": in.Revoke}, err
}

func adminTestEmail(c *adminCall) (any, error) {
	in := struct {
		To string `json:"to"`
	}{c.r.URL.Query().Get("to")}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	out, err := c.TestMail(c.ctx, c.by, in.To)
	if err == nil && !out.Sent {
		c.status = http.StatusBadGateway
	}
	return map[string]any{"sent": out.Sent, "results": out.Results}, err
}

// adminDoctor sends a mail, or looks at the headers of one that has come.
func adminDoctor(c *adminCall) (any, error) {
	var in struct {
		MailTo   string `json:"mail_to"`
		Received string `json:"received"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	var found []operate.Finding
	var err error
	if in.Received != "" {
		found, err = c.ExamineReceived(c.ctx, in.Received)
	} else {
		found, err = c.MailTo(c.ctx, c.by, in.MailTo)
	}
	return map[string]any{"findings": found}, err
}

func adminUnlock(c *adminCall) (any, error) {
	var in struct {
		Email string `json:"email"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	return c.Unlock(c.ctx, c.by, in.Email)
}

func adminAdmit(c *adminCall) (any, error) {
	var in operate.AdmitWish
	if err := c.read(&in); err != nil {
		return nil, err
	}
	return c.Admit(c.ctx, c.by, in)
}

func adminWhy(c *adminCall) (any, error) {
	q := c.r.URL.Query()
	in := struct {
		Email string `json:"email"`
		Site  string `json:"site"`
	}{q.Get("email"), q.Get("site")}
	if c.r.Method == http.MethodPost {
		if err := c.read(&in); err != nil {
			return nil, err
		}
	}
	return c.Why(c.ctx, in.Email, in.Site)
}

func adminExport(c *adminCall) (any, error) {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	if err := c.Export(c.ctx, c.by, c.w, c.r.URL.Query().Get("keys") == "true"); err != nil {
		// The connection breaks instead of ending as if all were well.
		c.log.Error("an export was cut off: " + err.Error())
		panic(http.ErrAbortHandler)
	}
	return nil, nil
}

// adminRoute takes the id out of a path. An address may have a slash before
// its @.
func adminRoute(path string) (name, id string) {
	for _, list := range []string{"sessions/", "users/"} {
		rest, ok := strings.CutPrefix(path, list)
		if !ok || rest == "" {
			continue
		}
		if id, ok := strings.CutSuffix(rest, "/end-sessions"); ok && list == "users/" {
			return "users/*/end-sessions", id
		}
		return list + "*", rest
	}
	return path, ""
}

// refuseCall is a "no" with a status. Caddy logs the text, so it names nobody.
func refuseCall(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

// answer writes what a call returned.
func (c *adminCall) answer(value any) error {
	switch {
	case value == nil && c.r.Method == http.MethodGet: // it has written for itself
		return nil
	case value == nil:
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return web.JSON(c.w, c.r, cmp.Or(c.status, http.StatusOK), value)
}

// read decodes a JSON body into value; an empty body leaves it as it is.
func (c *adminCall) read(value any) error {
	body, err := web.ReadBody(c.w, c.r, web.BodyTime)
	switch {
	case errors.Is(err, web.ErrTooLarge):
		return refuseCall(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", web.MaxBody)
	case err != nil:
		return refuseCall(http.StatusBadRequest, "the body can't be read")
	}
	if len(body) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(value); err != nil || d.More() {
		return refuseCall(http.StatusBadRequest, "the body is not a JSON object with the fields that this path takes")
	}
	return nil
}

// page reads ?after= and ?limit=.
func (c *adminCall) page() (after string, limit int, err error) {
	q := c.r.URL.Query()
	after, limit = q.Get("after"), 100
	if q.Has("limit") {
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > session.MaxPage {
			return "", 0, refuseCall(http.StatusBadRequest, "limit is a number from 1 to %d", session.MaxPage)
		}
	}
	return after, limit, nil
}

// Interface guard
var _ caddy.AdminRouter = adminAPI{}
