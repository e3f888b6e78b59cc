package caddymodule

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func iconFile(t *testing.T, side int, more string) string {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewRGBA(image.Rect(0, 0, side, side))))
	path := filepath.Join(t.TempDir(), "icon.png")
	must(t, os.WriteFile(path, append(b.Bytes(), more...), 0o600))
	return path
}

// TestIconsAtThePortal: a site's picture, inline and behind another proxy, stands at
// the portal with nothing in it but pixels.
func TestIconsAtThePortal(t *testing.T) {
	b := newBothWays(t, nil, "", "*@example.com", nil, `name "Team wiki"`, "icon "+iconFile(t, 300, "<script>alert(1)</script>"))
	cookie := b.signedIn("alice@example.com")
	page := read(t, b.at("auth.example.com", "GET", "/", cookie))
	pictures := regexp.MustCompile(`<img src="(/_gatehouse/icon-[0-9a-f]+\.png)" alt=""><span><bdi>Team wiki</bdi>`).FindAllStringSubmatch(page, -1)
	if len(pictures) != 2 {
		t.Fatalf("%d sites have a picture:\n%s", len(pictures), page)
	}
	resp := b.at("auth.example.com", "GET", pictures[0][1])
	content := read(t, resp)
	size, err := png.DecodeConfig(strings.NewReader(content))
	if err != nil || size.Width != 128 || strings.Contains(content, "script") || resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%v %d %s %v", err, size.Width, resp.Header.Get("Content-Type"), len(content))
	}
	for host, want := range map[string]string{"app.example.com": "Team wiki (app.example.com", "auth.example.com": "Team wiki (wiki.example.com"} {
		if page := read(t, b.at(host, "GET", "/_gatehouse/account/tokens", cookie)); !strings.Contains(page, want) {
			t.Errorf("the tokens of %s do not name %q:\n%s", host, want, page)
		}
	}
}

// TestIconsThatAreNone: the error names gate and file, and the configuration before
// stays.
func TestIconsThatAreNone(t *testing.T) {
	text := filepath.Join(t.TempDir(), "icon.svg")
	must(t, os.WriteFile(text, []byte("<svg/>"), 0o600))
	for file, want := range map[string]string{
		"/nowhere/icon.png":   "/nowhere/icon.png: no such file",
		text:                  "no PNG or ICO picture; write",
		iconFile(t, 2000, ""): "2000 by 2000 pixels",
		filepath.Dir(text):    "is a directory",
	} {
		c := newGatedCaddy(t, nil)
		err := c.load("", "", "https://app.example.com:{port} {\n\tbind 127.0.0.1\n\ttls {tls}\n\tgatehouse any {\n\t\ticon "+file+"\n\t}\n\treverse_proxy {app}\n}")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the gate at ") || !strings.Contains(err.Error(), "icon "+file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestRefusalByAPart: who may open a site and not a part of it reads that, however
// the part is written, and gets back.
func TestRefusalByAPart(t *testing.T) {
	c := newGatedCaddy(t, nil)
	c.run("", "", `https://app.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse /admin/* boss@example.com
	gatehouse any
	reverse_proxy {app}
}
https://late.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	@late path_regexp ^/late
	gatehouse @late boss@example.com
	gatehouse any
	reverse_proxy {app}
}
https://shut.example.com:{port} {
	bind 127.0.0.1
	tls {tls}
	gatehouse boss@example.com
	reverse_proxy {app}
}`)
	for _, one := range []struct{ host, path, want, none string }{
		{"app.example.com", "/admin/deep?x=1", `have access to <bdi dir="ltr">/admin</bdi> at <bdi>app.example.com`, "deep</bdi>"},
		{"late.example.com", "/late", "have access to this part of <bdi>late.example.com", ">Go to"},
		{"shut.example.com", "/admin", "have access to <bdi>shut.example.com", ">Go to"},
	} {
		cookie := "Cookie: __Host-gatehouse=" + c.signInAt("somebody@example.com", one.host).Token
		r, err := http.NewRequest("GET", c.origin(one.host)+one.path, nil)
		must(t, err)
		r.Header.Set("Cookie", strings.TrimPrefix(cookie, "Cookie: "))
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		resp, err := c.client(false).Do(r)
		must(t, err)
		page := read(t, resp)
		if resp.StatusCode != 403 || !strings.Contains(page, one.want) || strings.Contains(page, one.none) || strings.Contains(page, ">Go to") != (one.none != ">Go to") {
			t.Errorf("%s%s: %d\n%s", one.host, one.path, resp.StatusCode, page)
		}
	}
}

// TestAnotherIconInTheSameFile: a reload takes it up.
func TestAnotherIconInTheSameFile(t *testing.T) {
	file := iconFile(t, 20, "")
	g := &Gate{Icon: file}
	must(t, g.digestIcon())
	first := g.IconDigest
	content, err := os.ReadFile(iconFile(t, 30, ""))
	must(t, err)
	must(t, os.WriteFile(file, content, 0o600))
	must(t, g.digestIcon())
	if first == "" || g.IconDigest == first {
		t.Errorf("the digest is %q, and was %q", g.IconDigest, first)
	}
}
