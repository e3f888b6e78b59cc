package gate

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// meet begins a request at one of our handlers, before anything of
// ours looks at it. A request whose target has no path is answered here, also
// on public paths, beside a gate's matchers and with report_only: nothing that
// is decided by paths could be decided, and the app would read one all the same.
func (h *House) meet(w http.ResponseWriter, r *http.Request) (q request, ok bool) {
	q = h.request(w, r)
	if q.hasPath() {
		return q, true
	}
	h.count(badTarget, false)
	if missed, ok := h.Lines.Allow(q.client(), string(badTarget), "", time.Now()); ok {
		h.log().Info("a request target without a path was refused", slog.String("reason", string(badTarget)),
			slog.String("client_ip", q.client().String()), slog.String("host", quoted(r.Host)), slog.Int("suppressed", missed))
	}
	_ = q.refuse(refusal{kind: badTarget, detail: "The request target must be a path that begins with /, or a whole http or https URL with one."})
	return q, false
}

// hasPath tells whether what the request asks for is a path. Of
// "GET x:http://a/admin/ HTTP/1.1" Go makes a URL with an empty path, and a proxy
// behind us sends "x:http://a/admin/" on, or without the x, as an absolute URL
// that apps serve. "OPTIONS *" asks about no path; a CONNECT that is none for a
// WebSocket is refused for its method.
func (q *request) hasPath() bool {
	switch {
	case q.url.Opaque != "" || q.r.URL.Opaque != "":
		return false
	case strings.HasPrefix(q.url.Path, "/"):
		return true
	case q.r.Method == http.MethodOptions:
		return q.url.Path == "*"
	}
	return q.r.Method == http.MethodConnect && !isExtendedConnect(q.r)
}
