package api

import (
	"fmt"
	"net/http"
	"time"
)

// Refusal is a "no" that the caller can be told about. Message is for its
// developer and never holds what was sent.
type Refusal struct {
	Status     int
	Code       string // a word of the dialect; empty: by Status
	Message    string
	Field      string        // which field it is about, if one
	RetryAfter time.Duration // when to try again, 0 for unknown
}

func (r *Refusal) Error() string { return fmt.Sprintf("%d %s", r.Status, r.Message) }

// Refuse makes a Refusal.
func Refuse(status int, code, message string) *Refusal {
	return &Refusal{Status: status, Code: code, Message: message}
}

// The refusals that every dialect has. Codes are left to the dialect.
var (
	errNoKey       = Refuse(http.StatusUnauthorized, CodeUnauthorized, "No API key: send Authorization: Bearer <key>.")
	errBadKey      = Refuse(http.StatusUnauthorized, CodeUnauthorized, "This API key is not known.")
	errTwoKeys     = Refuse(http.StatusUnauthorized, CodeUnauthorized, "More than one Authorization header: send one.")
	errTwoBeside   = Refuse(http.StatusUnauthorized, CodeUnauthorized, "More than one "+KeyHeader+" header: send one.")
	errWrongKind   = Refuse(http.StatusForbidden, CodeForbidden, "This call needs a secret key; a publishable one may not make it.")
	errSecretKind  = Refuse(http.StatusUnauthorized, CodeUnauthorized, "This call takes a publishable key. This is a secret one: if it stood in a URL or a page, replace it.")
	errSessionKind = Refuse(http.StatusForbidden, CodeForbidden, "This call needs an API key; a session token may not make it.")
	errOtherSite   = Refuse(http.StatusForbidden, CodeForbidden, "This was sent by another site. Open the link of the mail, and press the button there.")
	errTooMany     = Refuse(http.StatusTooManyRequests, CodeTooMany, "Too many requests. Wait until the time in X-RateLimit-Reset.")
	errLarge       = Refuse(http.StatusRequestEntityTooLarge, CodeMalformed, "The body is too large: at most 64 KiB are read.")
	errMedia       = Refuse(http.StatusUnsupportedMediaType, CodeMalformed, "Send the body with Content-Type: application/json and without Content-Encoding.")
	errJSON        = Refuse(http.StatusBadRequest, CodeMalformed, "The body is not one JSON object in UTF-8.")
	errTwice       = Refuse(http.StatusBadRequest, CodeMalformed, "A name stands twice in the JSON body.")
	errDeep        = Refuse(http.StatusBadRequest, CodeMalformed, "The JSON body is nested too deeply.")
	errOutage      = &Refusal{Status: http.StatusServiceUnavailable, Code: CodeUnavailable, Message: "Sign-in is not available for a moment. Try again.", RetryAfter: 5 * time.Second}
	errNotFound    = Refuse(http.StatusNotFound, CodeNotFound, "There is no such path. The document at "+documents+" lists all.")
	errEarly       = Refuse(http.StatusTooEarly, CodeForbidden, "This came before the connection was safe. Send it again.")
	errSlow        = Refuse(http.StatusRequestTimeout, CodeMalformed, "The body did not arrive in time.")
	errCut         = Refuse(http.StatusBadRequest, CodeMalformed, "The body ended too early.")
	errMethod      = Refuse(http.StatusMethodNotAllowed, CodeMethod, "This path does not take this method.")
)

// Codes of the refusals above, for dialects to translate.
const (
	CodeUnauthorized = "unauthorized"
	CodeForbidden    = "forbidden"
	CodeTooMany      = "too_many_requests"
	CodeMalformed    = "malformed"
	CodeMissing      = "missing"
	CodeUnavailable  = "unavailable"
	CodeNotFound     = "not_found"
	CodeMethod       = "method_not_allowed"
	CodeMailDown     = "mail_down"
)

// NeedsSecret is the refusal of what a call may do with a secret key alone.
func NeedsSecret(what string) *Refusal {
	return Refuse(http.StatusForbidden, CodeForbidden, what+" needs a secret key.")
}

// Missing is the refusal of a call without a field that it needs.
func Missing(field string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: CodeMissing, Message: field + " is missing.", Field: field}
}

// Malformed is the refusal of a field that is not what it should be.
func Malformed(field, want string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: CodeMalformed, Message: field + " must be " + want + ".", Field: field}
}

// Limited is the refusal of one more mail, message or try than is allowed.
func Limited(wait time.Duration) *Refusal {
	return &Refusal{Status: http.StatusTooManyRequests, Code: CodeTooMany, Message: "Too many requests for this address. Try again later.", RetryAfter: wait}
}

// MailDown is the refusal while nothing can be sent.
func MailDown(wait time.Duration) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Code: CodeMailDown, Message: "Messages can't be sent for a moment. Try again.", RetryAfter: wait}
}
