package pages

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

func TestCompression(t *testing.T) {
	b := newHouse(t).browser()
	for accept, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br": "gzip", "br;q=1.0, GZIP;q=0.5": "gzip",
		"": "", "br": "", "gzip;q=0": "", "gzip; q=0.000": "", "xgzip": "",
	} {
		b.headers.Set("Accept-Encoding", accept)
		b.get("/_gatehouse/login")
		if got := b.last.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: encoded as %q, want %q", accept, got, want)
		}
		body := []byte(b.body)
		if want == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(body))
			check(t, err)
			body, err = io.ReadAll(r)
			check(t, err)
		}
		if !bytes.HasSuffix(bytes.TrimSpace(body), []byte("</html>")) {
			t.Errorf("Accept-Encoding %q: not the whole page", accept)
		}
	}
}
