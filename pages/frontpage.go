package pages

import (
	"net/http"
	"strings"
	"sync"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// frontPages are sign-in pages as those see them who are not signed in and have
// typed nothing yet. They tell nothing of a visitor: each depends on its key
// alone, and is made once for all who ask for it.
type frontPages struct {
	mu   sync.RWMutex
	made map[frontKey][]byte
}

// frontKey is all that such a page depends on within one configuration.
type frontKey struct {
	origin authcore.Origin
	words  *catalog
	query  string
	zipped bool
}

const (
	maxFrontPages = 100 // of a few kilobytes each
	maxFrontQuery = 200 // bytes; few ask for a longer one twice
)

// frontPage answers with the sign-in page for somebody who is not signed in.
func (e *exchange) frontPage() {
	query := e.r.URL.RawQuery
	key := frontKey{e.v.Origin, e.words, strings.Clone(query), acceptsGzip(e.r.Header)}
	body := e.p.fronts.get(key)
	if body == nil {
		var ok bool
		if body, ok = e.render(e.loginForm()); !ok {
			return
		}
		if key.zipped {
			body = compress(body, e.p.look.fixed)
		}
		if len(query) <= maxFrontQuery {
			e.p.fronts.put(key, body)
		}
	}
	e.headPage(e.words.lang(), authcore.Origin{})
	e.zips()
	e.send(http.StatusOK, body)
}

func (f *frontPages) get(key frontKey) []byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.made[key]
}

// put keeps a page in the place of any other when there are too many: whoever
// makes up addresses pushes out the pages of all, which are then made again.
func (f *frontPages) put(key frontKey, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.made {
		if len(f.made) < maxFrontPages {
			break
		}
		delete(f.made, other)
	}
	if f.made == nil {
		f.made = map[frontKey][]byte{}
	}
	f.made[key] = body
}
