package api

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/apps"
	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/internal/web"
	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// ShowPage answers with a page for people, in their language.
func (c *Call) ShowPage(status int, p screen.AppPage) error {
	c.pages.App(c.W, c.R, pages.Visit{Origin: c.Origin, Client: c.Client, Private: true}, status, p)
	return nil
}

// deadLinks are the pages of links that do not work.
var deadLinks = map[event.Verdict]screen.AppState{
	event.Used: screen.AppUsed, event.Expired: screen.AppExpired, event.Locked: screen.AppLocked, event.Mismatch: screen.AppMismatch,
}

// DeadLink says why the link of an app does not work. gone: it leads where it is
// not allowed any more.
func (c *Call) DeadLink(app *apps.App, v event.Verdict, gone bool) error {
	state := cmp.Or(deadLinks[v], screen.AppUnknown)
	if gone {
		state = screen.AppGone
	}
	return c.ShowPage(http.StatusGone, screen.AppPage{State: state, App: app.DisplayName()})
}

// Language is what language the call wants a mail in: its Accept-Language, which
// an app's server passes on from its visitor's browser.
func (c *Call) Language() string { return c.pages.Language(c.R) }

// SeeOther sends the browser to location, which must have been checked. The
// address of this page holds a token.
func (c *Call) SeeOther(location string) error {
	web.SeeOther(c.W, location, true)
	return nil
}

// FromPage refuses what does not come from a page of ours, so that no other
// site can make a browser sign in or out. Every button of a page asks it.
func (c *Call) FromPage() error {
	switch {
	case web.IsEarly(c.R):
		return errEarly
	case !web.SameOrigin(c.R, c.Origin):
		return errOtherSite
	}
	return nil
}

// IsRobot tells whether a request looks like a mail scanner's or a prefetch:
// what it opens was not opened by a person. Scanners that pass for a browser
// can't be told; programs that name themselves as what they are, such as an
// app's own client, are not taken for scanners.
func (c *Call) IsRobot() bool {
	h := c.R.Header
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if strings.Contains(strings.ToLower(h.Get(name)), "pre") || strings.EqualFold(h.Get(name), "preview") {
			return true
		}
	}
	if c.R.Method == http.MethodHead {
		return true
	}
	agent := strings.ToLower(c.R.UserAgent())
	for _, word := range []string{"bot", "crawl", "spider", "scan", "preview", "safelinks", "urldefense", "proofpoint", "mimecast", "barracuda"} {
		if strings.Contains(agent, word) {
			return true
		}
	}
	return agent == ""
}
