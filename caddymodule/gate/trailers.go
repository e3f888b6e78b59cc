package gate

import (
	"io"
	"net/http"
)

// requestBody is the body of a request that passes. Trailers arrive with its
// end, when the handler has long run: with any trailer announced, a client could
// send Remote-Email there, and proxies copy trailers as they find them at EOF.
type requestBody struct {
	io.ReadCloser
	request *http.Request
}

// Read implements io.Reader. net/http fills in the trailers before it returns
// io.EOF.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		cleanTrailer(b.request.Trailer)
	}
	return n, err
}
