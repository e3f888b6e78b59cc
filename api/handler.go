package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/origin"
)

// Visit is what the server knows of one request, already in canonical form.
type Visit struct {
	Origin origin.Origin // where the API stands, one of this instance's origins
	Named  origin.Origin // the same, if the configuration names it, else one that it names
	Client netip.Addr    // the peer, or whom a trusted proxy named
}

// Dialect is one wire format.
type Dialect interface {
	// Name is a stable word for logs, limits and the path of the document.
	Name() string
	// Knows tells whether path is one of the dialect's.
	Knows(path string) bool
	// Serve answers a request for a path of the dialect, and tells whether it
	// was one. r.URL.Path is the original path.
	Serve(w http.ResponseWriter, r *http.Request, v Visit) bool
	// NotFound refuses a request for a path that is none but begins like the
	// dialect's own, in the dialect's words, and tells whether it was one.
	NotFound(w http.ResponseWriter, r *http.Request, v Visit) bool
}

// Handler serves several dialects on one origin. It is safe for concurrent use.
type Handler struct {
	dialects []Dialect
}

// NewHandler makes a Handler. No path may belong to two dialects.
func NewHandler(dialects ...Dialect) *Handler { return &Handler{dialects} }

// documents is where the OpenAPI descriptions stand.
const documents = "/_gatehouse/openapi/"

// Knows tells whether path is a dialect's, or a document about one.
func (h *Handler) Knows(path string) bool {
	if name, found := strings.CutPrefix(path, documents); found {
		return slices.ContainsFunc(h.dialects, func(d Dialect) bool { return name == d.Name()+".json" })
	}
	return slices.ContainsFunc(h.dialects, func(d Dialect) bool { return d.Knows(path) })
}

// Serve answers a request, or returns false without touching w when the path
// belongs to no dialect.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, v Visit) bool {
	if name, found := strings.CutPrefix(r.URL.Path, documents); found {
		return h.document(w, r, name)
	}
	for _, d := range h.dialects {
		if d.Serve(w, r, v) {
			return true
		}
	}
	return false
}

// NotFound answers a request that nobody else has answered: in the words of the
// dialect whose path it looks like, else in plain text.
func (h *Handler) NotFound(w http.ResponseWriter, r *http.Request, v Visit) {
	for _, d := range h.dialects {
		if d.NotFound(w, r, v) {
			return
		}
	}
	http.NotFound(w, r)
}

// document serves the description of a dialect that is in use.
func (h *Handler) document(w http.ResponseWriter, r *http.Request, name string) bool {
	for _, d := range h.dialects {
		if name != d.Name()+".json" {
			continue
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return true
		}
		data, ok := Document(d.Name())
		if !ok {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(data)
		return true
	}
	return false
}
