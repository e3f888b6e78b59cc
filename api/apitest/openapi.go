package apitest

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"github.com/gatehouse-auth/gatehouse/api"
)

// described is an OpenAPI document that what is sent and answered is held
// against.
type described struct {
	name  string
	mu    sync.Mutex
	check validator.Validator
}

var documents sync.Map // *described by name of the dialect

// describe returns the document of a dialect, nil for none.
func describe(t testing.TB, dialect string) *described {
	t.Helper()
	if known, ok := documents.Load(dialect); ok {
		return known.(*described)
	}
	data, ok := api.Document(dialect)
	if !ok {
		return nil
	}
	doc, err := libopenapi.NewDocument(data)
	if err != nil {
		t.Fatalf("api/openapi/%s.json: %v", dialect, err)
	}
	check, errs := validator.NewValidator(doc, config.WithRegexCache(new(sync.Map)))
	if len(errs) > 0 {
		t.Fatalf("api/openapi/%s.json: %v", dialect, errs)
	}
	if valid, errs := check.ValidateDocument(); !valid {
		t.Fatalf("api/openapi/%s.json is not OpenAPI: %v", dialect, errs)
	}
	d, _ := documents.LoadOrStore(dialect, &described{name: dialect, check: check})
	return d.(*described)
}

// conform fails the test when a request that was accepted, or any answer, is
// not as the dialect's document says. What the document says nothing of (a
// method that a path does not take) is left alone.
func (h *House) conform(r *http.Request, a Answer) {
	h.T.Helper()
	for _, dialect := range h.dialects {
		if !dialect.Knows(r.URL.Path) || r.URL.Path == h.Undescribed || a.Status == http.StatusMethodNotAllowed || r.Method == http.MethodHead {
			continue
		}
		if d := describe(h.T, dialect.Name()); d != nil {
			d.hold(h.T, r, a)
		}
	}
}

func (d *described) hold(t testing.TB, r *http.Request, a Answer) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	r = r.Clone(r.Context())
	r.URL.Path = cleanPath(r.URL.Path)
	if r.GetBody != nil {
		r.Body, _ = r.GetBody()
	}
	resp := &http.Response{StatusCode: a.Status, Header: a.Header, Body: io.NopCloser(bytes.NewReader([]byte(a.Text))), Request: r}
	valid, errs := d.check.ValidateHttpResponse(r, resp)
	if valid && a.Status < http.StatusBadRequest {
		valid, errs = d.check.ValidateHttpRequest(r)
	}
	if valid {
		return
	}
	var text strings.Builder
	for _, err := range errs {
		text.WriteString("\n  " + err.Message + ": " + err.Reason)
		for _, why := range err.SchemaValidationErrors {
			text.WriteString("\n    " + why.Location + ": " + why.Reason)
		}
	}
	t.Errorf("%s %s → %d is not as api/openapi/%s.json says:%s\n%s", r.Method, r.URL.Path, a.Status, d.name, text.String(), a.Text)
}

// cleanPath is the one spelling that a document knows.
func cleanPath(path string) string {
	return "/" + strings.Join(strings.FieldsFunc(path, func(r rune) bool { return r == '/' }), "/")
}
