package caddymodule

import (
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

// meet begins the visit of a request at one of our handlers, before anything of
// ours looks at it. A request whose target has no path is answered here, also
// on public paths, beside a gate's matchers and with report_only: nothing that
// is decided by paths could be decided, and the app would read one all the same.
func (a *App) meet(w http.ResponseWriter, r *http.Request) (v visit, ok bool) {
	v = newVisit(w, r)
	v.app = a
	if v.hasPath() {
		return v, true
	}
	countRefusal(badTarget, false)
	if missed, ok := a.murmur.allow(v.client(), badTarget, "", time.Now()); ok {
		a.log.Info("a request target without a path was refused", zap.String("reason", string(badTarget)),
			zap.String("client_ip", v.client().String()), zap.String("host", quoted(r.Host)), zap.Int("suppressed", missed))
	}
	_ = v.refuse(refusal{kind: badTarget, detail: "The request target must be a path that begins with /, or a whole http or https URL with one."})
	return v, false
}

// hasPath tells whether what the request asks for is a path. Of
// "GET x:http://a/admin/ HTTP/1.1" Go makes a URL with an empty path, and a proxy
// behind us sends "x:http://a/admin/" on, or without the x, as an absolute URL
// that apps serve. "OPTIONS *" asks about no path; a CONNECT that is none for a
// WebSocket is refused for its method.
func (v *visit) hasPath() bool {
	switch {
	case v.url.Opaque != "" || v.r.URL.Opaque != "":
		return false
	case strings.HasPrefix(v.url.Path, "/"):
		return true
	case v.r.Method == http.MethodOptions:
		return v.url.Path == "*"
	}
	return v.r.Method == http.MethodConnect && !isExtendedConnect(v.r)
}
