package e2e

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser process of all tests; every person gets a
// browser context, which has its own cookies.
var chromium = sync.OnceValues(func() (context.Context, error) {
	profile, err := os.MkdirTemp("", "gatehouse-e2e-chromium")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	closeBrowser = func() { cancel(); stop(); _ = os.RemoveAll(profile) }
	return ctx, chromedp.Do(ctx)
})

var closeBrowser = func() {}

// tab is a page in Chromium.
type tab struct {
	testing.TB
	ctx  context.Context
	base string
}

// browser opens a tab in a browser of its own.
func (s *server) browser() *tab {
	s.Helper()
	ctx, err := chromium()
	if err != nil {
		s.Fatalf("starting chromium (Debian's package chromium): %v", err)
	}
	return openTab(s, ctx, s.url, chromedp.WithNewBrowserContext())
}

// tab opens another tab in the same browser.
func (b *tab) tab() *tab {
	b.Helper()
	return openTab(b.TB, b.ctx, b.base)
}

func openTab(t testing.TB, parent context.Context, base string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	b := &tab{t, ctx, base}
	// While Caddy still runs: a page that is open may hold a stream.
	t.Cleanup(func() { b.keepCookies(); cancel() })
	// The first call opens the tab, which lives as long as that call's context:
	// so no time limit here.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1000, 760)); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%s: %v\n%s", what, err, b.html())
	}
}

// withoutScripts turns JavaScript off in this tab.
func (b *tab) withoutScripts() *tab {
	b.Helper()
	b.do("turning JavaScript off", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
	return b
}

// open goes to a page and returns its status, after redirects.
func (b *tab) open(path string) int64 {
	b.Helper()
	if !strings.Contains(path, "://") {
		path = b.base + path
	}
	return b.navigate("opening "+path, func(ctx context.Context) (*network.Response, error) {
		return chromedp.Run(ctx, chromedp.NavigateResponse(path))
	})
}

// enter types text into a field and presses Enter.
func (b *tab) enter(field, text string) int64 {
	b.Helper()
	return b.navigate("typing into "+field, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, chromedp.SendKeys(chromedp.CSS(field), text+"\r"))
	})
}

// click presses a button or a link that leads to another page.
func (b *tab) click(selector string) int64 {
	b.Helper()
	return b.navigate("clicking "+selector, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector)))
	})
}

func (b *tab) navigate(what string, step func(context.Context) (*network.Response, error)) int64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	response, err := step(ctx)
	if err != nil {
		b.Fatalf("%s: %v\n%s", what, err, b.html())
	}
	b.keepCookies()
	if response == nil {
		return 0 // the page's own script went on before the answer was seen
	}
	return response.Status
}

// sees waits until text is on the page.
func (b *tab) sees(text string) {
	b.Helper()
	within(b, patience, "the page shows "+text, func() bool { return strings.Contains(b.text(), text) })
}

func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	return text
}

func (b *tab) html() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.documentElement.outerHTML"))
	return text
}

// path is where the tab is.
func (b *tab) path() string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	location, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimPrefix(location, b.base)
}

func (b *tab) cookies() map[string]string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	found := map[string]string{}
	_ = chromedp.Do(ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		result, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{})
		for _, c := range result.Cookies {
			found[c.Name] = c.Value
		}
		return chromedp.Void{}, err
	})
	return found
}

func (b *tab) keepCookies() {
	for name, value := range b.cookies() {
		keepSecret("cookie "+name, value)
	}
}

// picture keeps a screenshot where GATEHOUSE_PICTURES says, if it does.
func (b *tab) picture(name string) {
	dir := os.Getenv("GATEHOUSE_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.Errorf("picture %s: %v", name, err)
	}
}

// signIn begins at the app and takes the whole way with the code.
func (b *tab) signIn(address string) {
	b.Helper()
	b.open("/")
	b.enter("#email", address)
	b.enter("#code", mails.NextTo(b, address).Code(b))
	b.sees(address)
}

// browserWith opens a browser with v's cookies.
func (s *server) browserWith(v *visitor) *tab {
	s.Helper()
	b := s.browser()
	u, _ := url.Parse(v.base)
	for _, c := range v.client.Jar.Cookies(u) {
		b.do("setting a cookie", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, network.SetCookie, network.SetCookieParams{Name: c.Name, Value: c.Value, URL: b.base})
			return chromedp.Void{}, err
		})
	}
	return b
}
