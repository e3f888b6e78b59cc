package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// SameOrigin tells whether a POST comes from a page of own, so that no other
// site can make a browser sign in, answer or sign out. Browsers say so
// themselves: Sec-Fetch-Site in all current ones, else Origin, else Referer. A
// request with none of them is refused: it may be a browser with all three
// stripped, and scripts can send Origin.
func SameOrigin(r *http.Request, own origin.Origin) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return len(site) == 1 && (site[0] == "same-origin" || site[0] == "none")
	}
	if from := r.Header["Origin"]; len(from) > 0 {
		return len(from) == 1 && isOrigin(from[0], own)
	}
	referer := r.Header["Referer"]
	if len(referer) != 1 {
		return false
	}
	u, err := url.Parse(referer[0])
	return err == nil && u.User == nil && isOrigin(u.Scheme+"://"+u.Host, own)
}

func isOrigin(s string, own origin.Origin) bool {
	o, err := origin.Parse(s)
	return err == nil && !own.IsZero() && o == own
}

// IsEarly tells whether a request came before the end of the TLS handshake:
// whoever recorded it can send it again (RFC 8470).
func IsEarly(r *http.Request) bool { return r.TLS != nil && !r.TLS.HandshakeComplete }

// MaxBody bounds what is read of a body, in bytes. A form or a call is far
// smaller.
const MaxBody = 64 << 10

// BodyTime is how long a body may take to arrive: without it a slow sender holds
// a connection for nothing.
const BodyTime = 10 * time.Second

// What is wrong with a body.
var (
	ErrTooLarge = errors.New("the body is too large")
	ErrTooSlow  = errors.New("the body did not arrive in time")
	ErrCut      = errors.New("the body ended too early")
)

// ReadBody reads a whole body of at most MaxBody, which must arrive within
// BodyTime or what is given in its place. The error is one of the three above.
func ReadBody(w http.ResponseWriter, r *http.Request, within time.Duration) ([]byte, error) {
	if r.ContentLength > MaxBody {
		w.Header().Set("Connection", "close")
		return nil, ErrTooLarge
	}
	if r.Body == nil {
		return nil, nil
	}
	control := http.NewResponseController(w)
	// Not every ResponseWriter can; the server's own limits hold then.
	limited := control.SetReadDeadline(time.Now().Add(within)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	switch tooBig := new(http.MaxBytesError); {
	case errors.As(err, &tooBig):
		return nil, ErrTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, ErrTooSlow
	case err != nil:
		return nil, ErrCut
	}
	if limited {
		_ = control.SetReadDeadline(time.Time{})
	}
	return body, nil
}

// StyleSource is a style sheet as a content policy names it, to admit it alone.
func StyleSource(css string) string {
	sum := sha256.Sum256([]byte(css))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Bare is the content policy of answers that are no pages.
const Bare = "default-src 'none'; frame-ancestors 'none'; sandbox"

// Guard sets what an answer to a browser carries, whatever it is.
func Guard(h http.Header, policy string) {
	fields := [...]struct {
		name  string
		value [1]string
	}{
		{"Cache-Control", [1]string{"no-store"}},
		{"Content-Security-Policy", [1]string{policy}},
		// Not no-referrer: with that, browsers send Origin: null and SameOrigin
		// would refuse our own forms.
		{"Referrer-Policy", [1]string{"same-origin"}},
		{"X-Content-Type-Options", [1]string{"nosniff"}},
		{"X-Robots-Tag", [1]string{"noindex"}},
		{"Cross-Origin-Opener-Policy", [1]string{"same-origin"}},
		{"Cross-Origin-Resource-Policy", [1]string{"same-origin"}},
		{"Permissions-Policy", [1]string{"camera=(), microphone=(), geolocation=()"}},
	}
	for i := range fields { // in one piece of memory, of this answer alone
		h[fields[i].name] = fields[i].value[:]
	}
}

// HideAddress keeps the address of a page to itself that may hold a token: of the
// files and forms of the page it would stand in the access log, as Referer. Our own
// origin goes along, by which SameOrigin knows our forms.
func HideAddress(h http.Header) { h.Set("Referrer-Policy", "strict-origin") }

// NoStore sets what an answer carries that needs no Guard.
func NoStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// JSON answers with value. The other headers are the caller's.
func JSON(w http.ResponseWriter, r *http.Request, status int, value any) error {
	var body bytes.Buffer
	out := json.NewEncoder(&body)
	out.SetEscapeHTML(false) // links are read by people, too: & and not \u0026
	if err := out.Encode(value); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) // a client who is gone needs no answer
	}
	return nil
}

// SeeOther sends a browser to an address, which must have been checked: 303
// makes it GET that, whatever it sent before. secret says that the address of
// the request holds a token, which the other site must not get as Referer.
func SeeOther(w http.ResponseWriter, to string, secret bool) {
	Guard(w.Header(), Bare)
	if secret {
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// Quoted shows a header's value in a message, whatever is in it.
func Quoted(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strconv.QuoteToASCII(s)
}

// IsControl tells whether r would break a line or hide in one.
func IsControl(r rune) bool {
	return r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029
}
