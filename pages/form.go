package pages

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"time"
)

// maxBody bounds what is read of a form. An address and a code are far smaller.
const maxBody = 64 << 10

// bodyTimeout is how long a form may take to arrive; without it a slow sender
// holds a connection for nothing. A variable for tests.
var bodyTimeout = 10 * time.Second

// form is the body of a POST. Fields we don't know are ignored.
type form url.Values

func (f form) get(name string) string { return url.Values(f).Get(name) }

// readForm reads a form-encoded body. kind is what is wrong with it, or "".
func readForm(w http.ResponseWriter, r *http.Request) (f form, kind ProblemKind) {
	body, kind := readBody(w, r)
	if kind != "" {
		return nil, kind
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if len(body) > 0 && (err != nil || media != "application/x-www-form-urlencoded") {
		return nil, badMedia
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badForm
	}
	// Of two addresses or codes, whoever looks at the request before us may
	// have seen the other one.
	if len(values["email"]) > 1 || len(values["code"]) > 1 {
		return nil, badForm
	}
	return form(values), ""
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, ProblemKind) {
	if r.ContentLength > maxBody {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	if r.Body == nil {
		return nil, ""
	}
	control := http.NewResponseController(w)
	limited := control.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooBig := new(http.MaxBytesError); errors.As(err, &tooBig) {
		return nil, tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Header().Set("Connection", "close")
		return nil, tooSlow
	}
	if err != nil {
		return nil, badForm
	}
	if limited {
		control.SetReadDeadline(time.Time{})
	}
	return body, ""
}
