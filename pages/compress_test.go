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

// unzip reads a whole gzip stream; nothing may follow it.
func unzip(t *testing.T, data []byte) []byte {
	t.Helper()
	from := bytes.NewReader(data)
	r, err := gzip.NewReader(from)
	check(t, err)
	r.Multistream(false)
	plain, err := io.ReadAll(r)
	check(t, err)
	if from.Len() > 0 {
		t.Errorf("%d bytes after the stream", from.Len())
	}
	return plain
}

// TestFilesAreCompressedOnce: and a picture, which gets no smaller, not at all.
func TestFilesAreCompressedOnce(t *testing.T) {
	text := bytes.Repeat([]byte("let it = be\n"), 100)
	if f := newFile(javascript, text); !bytes.Equal(unzip(t, f.zipped), text) {
		t.Error("a script does not come back")
	}
	if f := newFile("image/png", []byte{1, 2, 3}); f.zipped != nil {
		t.Error("a file that gets no smaller is sent as a larger one")
	}
}
