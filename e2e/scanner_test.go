package e2e

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// robots are what opens the links of a mail before its reader does: virus
// scanners, previews of chat programs, link checkers. None of them holds the
// reader's cookies.
var robots = []struct {
	name string
	open func(s *server, link string)
}{
	{"HEAD", func(s *server, link string) { s.visitor().do(http.MethodHead, link, nil) }},
	{"GET", func(s *server, link string) { s.visitor().get(link) }},
	{"ten times GET", func(s *server, link string) {
		for range 10 {
			s.visitor().get(link)
		}
	}},
	{"GET from another address", func(s *server, link string) {
		v := s.visitorFrom("127.0.0.2")
		v.get(link, "User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SafeLinks", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", "")
	}},
	{"POST", func(s *server, link string) {
		v := s.visitor()
		v.post(link)
		v.do(http.MethodPost, link, nil, "Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "")
	}},
	{"GET with JavaScript", func(s *server, link string) { s.browser().open(link) }},
	{"clicking every button", func(s *server, link string) { s.browser().clickAll(link) }},
}

// TestScanners: whatever a robot does with a mail's links, afterwards its
// reader's link works, and in another run the reader's code.
func TestScanners(t *testing.T) {
	s := start(t, plan{})
	for _, robot := range robots {
		for _, way := range []string{"link", "code"} {
			t.Run(robot.name+", then the "+way, func(t *testing.T) {
				s := *s
				s.TB = t
				alice := person("alice")
				human := s.visitor()
				human.TB = t
				m := human.begin(alice)
				links := linksIn.FindAllString(m.Parse(t).Text, -1)
				if len(links) < 2 { // to sign in, and to stop the mails
					t.Fatalf("the mail has the links %q", links)
				}
				for _, link := range links {
					robot.open(&s, link)
				}
				if got := human.get("/").StatusCode; got != http.StatusFound {
					t.Fatalf("the robot signed its victim in: %d", got)
				}
				if way == "link" {
					human.get(m.Link(t)).must(t, http.StatusOK)
					human.post(m.Link(t)).must(t, http.StatusSeeOther)
				} else {
					human.post("/_gatehouse/code", "code", m.Code(t)).must(t, http.StatusSeeOther)
				}
				if got := human.app("/").Header.Get("Remote-User"); got != alice {
					t.Errorf("the app sees %q", got)
				}
			})
		}
	}
}

var linksIn = regexp.MustCompile(`https?://\S+/_gatehouse/\S+`)

// clickAll presses, one after another, everything on the page that a link leads
// to, and the first button of the page that each of them leads to.
func (b *tab) clickAll(link string) {
	b.Helper()
	const pressable = `[...document.querySelectorAll('summary, main a[href], button, .button')]`
	b.open(link)
	count, _ := strconv.Atoi(b.eval(pressable + ".length"))
	if count == 0 {
		b.Fatalf("there is nothing to press at %s", link)
	}
	for i := range count {
		b.open(link)
		b.eval(pressable + "[" + strconv.Itoa(i) + "].id = 'pressed'")
		if b.eval(`document.querySelector('#pressed').tagName`) == "SUMMARY" {
			b.eval(`document.querySelector('#pressed').click()`)
			continue
		}
		b.click("#pressed")
		if b.eval(`document.querySelector('button') != null`) == "true" {
			b.click("button")
		}
	}
}

// visitorFrom is a visitor with another address of this machine's.
func (s *server) visitorFrom(address string) *visitor {
	s.Helper()
	v := s.visitor()
	v.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(addr)
		from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		return from.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	return v
}

// TestCookiesRefused: who keeps no cookies learns that, instead of typing an
// address again and again.
func TestCookiesRefused(t *testing.T) {
	s := start(t, plan{})
	v := s.visitor()
	v.client.Jar = nil
	sent := v.post("/_gatehouse/login", "email", person("alice")).must(t, http.StatusSeeOther)
	back := v.get(sent.Header.Get("Location"), "Sec-Fetch-Site", "same-origin", "Referer", s.url+"/_gatehouse/login").must(t, http.StatusSeeOther)
	v.get(back.Header.Get("Location")).must(t, http.StatusOK).shows(t, "allow cookies for this site")
	if _, err := url.Parse(back.Header.Get("Location")); err != nil || !strings.HasPrefix(back.Header.Get("Location"), "/_gatehouse/login") {
		t.Errorf("without a cookie the page for the code leads to %q", back.Header.Get("Location"))
	}
}
