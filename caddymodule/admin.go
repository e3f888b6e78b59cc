package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate/cli"
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
	w   http.ResponseWriter
	r   *http.Request
	app *App
	run *running
	id  string // what stands in the path after the collection's name
}

// adminRoutes are the methods of each path; * is one id.
var adminRoutes = map[string]map[string]func(*adminCall) error{
	"status":               {"GET": adminStatus},
	"sessions":             {"GET": adminSessions},
	"sessions/*":           {"DELETE": adminEndSession},
	"users":                {"GET": adminUsers},
	"users/*":              {"GET": adminUser, "DELETE": adminDeleteUser},
	"users/*/end-sessions": {"POST": adminEndUser},
	"apps":                 {"GET": adminApps},
	"keys/rotate":          {"POST": adminRotate},
	"test-email":           {"POST": adminTestEmail},
	"why":                  {"GET": adminWhy, "POST": adminWhy},
	"export":               {"GET": adminExport},
	"import":               {"POST": adminImport},
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
		w.Header().Set("Retry-After", retryAfter)
		return refuseCall(http.StatusServiceUnavailable, "no configuration with Gatehouse is running")
	}
	err := handle(&adminCall{w: w, r: r, app: app, run: app.current.Load(), id: id})
	if api := new(caddy.APIError); err == nil || errors.As(err, api) {
		return err
	}
	app.log.Error("a call of the admin API failed", zap.String("path", name), zap.Error(err))
	w.Header().Set("Retry-After", retryAfter)
	return refuseCall(http.StatusServiceUnavailable, "it can't be told or done now; the log says why")
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

func (c *adminCall) json(value any) error {
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	out := json.NewEncoder(c.w)
	out.SetEscapeHTML(false)
	_ = out.Encode(value) // an operator who is gone needs no answer
	return nil
}

// maxAdminBody bounds what is read of a call, but for import.
const maxAdminBody = 64 << 10

// read decodes a JSON body into value; an empty body leaves it as it is.
func (c *adminCall) read(value any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxAdminBody))
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		return refuseCall(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", maxAdminBody)
	}
	if err != nil {
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
		if limit, err = strconv.Atoi(q.Get("limit")); err != nil || limit < 1 || limit > authcore.MaxPage {
			return "", 0, refuseCall(http.StatusBadRequest, "limit is a number from 1 to %d", authcore.MaxPage)
		}
	}
	return after, limit, nil
}

// audit reports what the operator did, to whom.
func (c *adminCall) audit(action string, to *authcore.Holder, detail string) {
	e := event.Event{Name: event.Admin, Reason: action, Detail: detail}
	if from, err := netip.ParseAddrPort(c.r.RemoteAddr); err == nil {
		e.Client = from.Addr().Unmap()
	}
	if to != nil {
		e.Address, e.Subject, e.App = to.Address, to.Subject, to.Realm.App
	}
	c.run.service.Report(e)
}

// holders finds everybody whom the path names, those whom only an app knows
// too.
func (c *adminCall) holders() ([]authcore.Holder, error) {
	list, err := c.run.service.Holders(c.r.Context(), c.id)
	if err == nil && len(list) == 0 {
		return nil, refuseCall(http.StatusNotFound, "nobody with this subject or address is known here")
	}
	return list, err
}

// Interface guard
var _ caddy.AdminRouter = adminAPI{}
