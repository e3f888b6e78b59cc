package api

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// Composer composes the letters that are no app's.
type Composer interface {
	authcore.Composer
	// Envelope is a mail without words: sender, recipient, ids and date.
	Envelope(authcore.Letter) authcore.Message
}

// Words puts the letters of apps into words and leaves all others to Next. It
// implements authcore.Composer and is safe for concurrent use.
//
// The mails name the app and never the host of the API, so that an app's mails
// can be all its own.
type Words struct {
	Next     Composer
	FromName string // as configured; empty: the app's name
}

// Compose implements authcore.Composer.
func (w *Words) Compose(l authcore.Letter) (authcore.Message, error) {
	if l.App == "" {
		return w.Next.Compose(l)
	}
	if !l.Phone.IsZero() {
		return authcore.Message{Text: textMessage(l)}, nil
	}
	m := w.Next.Envelope(l)
	m.FromName = w.FromName
	if m.FromName == "" {
		m.FromName = l.App
	}
	m.Language = "en"
	m.Subject, m.Text, m.HTML = words(l)
	return m, nil
}

func textMessage(l authcore.Letter) string {
	if l.Code == "" {
		return fmt.Sprintf("Sign in to %s: %s It is valid for %s.", l.App, l.Link, lifetime(l.Lifetime))
	}
	return fmt.Sprintf("%s is your %s code. It is valid for %s. Don't share it.", l.Code, l.App, lifetime(l.Lifetime))
}

// words returns subject, plain text and HTML.
func words(l authcore.Letter) (subject, text, htmlText string) {
	switch l.Kind {
	case authcore.LetterPlain:
		link := html.EscapeString(l.Link)
		return "Magic Login Link", "Click this link to log in: " + l.Link + "\n",
			"Click this link to log in: <a href='" + link + "'>" + link + "</a>"
	case authcore.LetterCode:
		return fmt.Sprintf("%s is your %s code", l.Code, l.App), lines(
			"Your code for "+l.App+" is:", l.Code,
			"It is valid for "+lifetime(l.Lifetime)+".", notAsked), page(l, "Your code for "+l.App+" is:", "<p style=\"font:600 28px/1.4 monospace;letter-spacing:.15em\">"+html.EscapeString(l.Code)+"</p>")
	case authcore.LetterInvite:
		into := l.Into
		if into == "" {
			into = l.App
		}
		title := "You are invited to " + into + "."
		if l.Into != "" { // a customer's words: whose mail this is stands beside them
			title = "You are invited to \u201c" + into + "\u201d at " + l.App + "."
		}
		stopText, stop := "", ""
		if l.NotMe != "" {
			stopText = "To get no such mails: " + l.NotMe
			stop = "<p style=\"color:#666\"><a href=\"" + html.EscapeString(l.NotMe) + "\">Stop these mails</a></p>"
		}
		return strings.TrimSuffix(title, "."), lines(slices.DeleteFunc([]string{
			title + " To accept, open this link:", l.Link,
			"It is valid for " + lifetime(l.Lifetime) + " and works once.", "If you did not expect this, you can ignore it.", stopText,
		}, func(s string) bool { return s == "" })...), page(l, title, button(l.Link, "Accept")+stop)
	}
	return "Sign in to " + l.App, lines(
		"To sign in to "+l.App+", open this link:", l.Link,
		"It is valid for "+lifetime(l.Lifetime)+" and works once.", notAsked), page(l, "Sign in to "+l.App+":", button(l.Link, "Sign in"))
}

const notAsked = "If you did not ask for this, you can ignore it: nothing happens without it."

func lines(paragraphs ...string) string { return strings.Join(paragraphs, "\n\n") + "\n" }

func button(link, label string) string {
	href := html.EscapeString(link)
	return "<p><a href=\"" + href + "\">" + label + "</a></p>\n<p style=\"color:#666\">Or copy this address: " + href + "</p>"
}

func page(l authcore.Letter, title, body string) string {
	return "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n<body style=\"font:16px/1.5 sans-serif\">\n<p>" + html.EscapeString(title) + "</p>\n" + body +
		"\n<p style=\"color:#666\">It is valid for " + lifetime(l.Lifetime) + ". " + notAsked + "</p>\n</body></html>\n"
}

// lifetime says a duration the way people do.
func lifetime(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := d / unit.of; n >= 1 && d%unit.of == 0 || n >= 2 || unit.of == time.Second {
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return ""
}
