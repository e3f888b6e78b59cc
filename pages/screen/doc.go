// Package screen is what people see of Gatehouse: every page, mail and text
// message, in every language, as text and HTML.
//
// NewLook reads everything once for a configuration. Look.View begins a page,
// which package pages fills and Look.Render writes; Mails.Compose writes a mail.
//
// It knows no request and no session, and decides nothing. What it read at start
// is all that is this process's own.
package screen
