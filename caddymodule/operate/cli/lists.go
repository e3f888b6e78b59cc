package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// document prints one JSON document.
func (o *operator) document(value any) error {
	out := json.NewEncoder(o.out)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(value)
}

// table prints rows in columns.
func (o *operator) table(head string, rows [][]string) {
	w := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush()
}

func showStatus(o *operator) error {
	var s operate.Status
	if err := o.api.call("GET", "status", nil, &s); err != nil {
		return err
	}
	if o.json {
		if err := o.document(s); err != nil {
			return err
		}
	} else {
		o.status(s)
	}
	if s.Mail.Failing() {
		return errNo
	}
	return nil
}

func (o *operator) status(s operate.Status) {
	o.printf("version     %s\n", s.Version)
	o.printf("sessions    about %d, of %s\n", s.Sessions, operate.Count(s.People, "person", "people"))
	o.printf("streams     %d\n", s.Streams)
	o.printf("store       %s: %s%s%s\n", s.Store.Place(), operate.Bytes(s.Store.SizeBytes), free(s.Store), after(": ", s.Store.Error))
	if len(s.Store.Nodes) > 0 {
		o.printf("nodes       beside this one %s\n", strings.Join(s.Store.Nodes, "; "))
	}
	mail := map[string]string{"ok": "goes out", "down": "IS DOWN: sign-ins are refused", "delayed": "IS DELAYED: no sender takes it, as it seems"}
	maybe := ""
	if s.Mail.Maybe > 0 {
		maybe = fmt.Sprintf(", of which %d may have gone out: no answer has come", s.Mail.Maybe)
	}
	state := mail[s.Mail.State()]
	if s.Mail.Failing() && !s.Mail.Down {
		state = "FAILED at the last try of every sender; sign-ins are taken until the next mail fails"
	}
	o.printf("mail        %s, %s%s\n", state, operate.Count(s.Mail.Waiting, "waits", "wait"), maybe)
	o.senders(s.Mail.Senders)
	for _, d := range s.Mail.Domains {
		o.printf("  to %s: %d accepted, %d deferred, %d bounced, %d complained about%s\n", cmp.Or(d.Name, "others"),
			d.Accepted, d.Deferred, d.Bounced, d.Complained, usually(d))
	}
	if len(s.Texts) > 0 {
		o.printf("sms\n")
		o.senders(s.Texts)
	}
	for _, g := range s.Gates {
		only := ""
		if g.ReportOnly {
			only = " (report_only: stops nobody)"
		}
		o.printf("gate        %s%s\n", g.At, only)
	}
}

func usually(d operate.DomainStatus) string {
	text := ""
	if d.Wait != nil {
		text += ", usually taken after " + inWhole(*d.Wait)
	}
	if d.SignIn != nil {
		text += ", and signed in with " + inWhole(*d.SignIn) + " later"
	}
	return text
}

func (o *operator) senders(list []operate.SenderStatus) {
	for _, sender := range list {
		state := "not tried yet"
		switch {
		case sender.Down:
			state = "down: " + strings.TrimPrefix(sender.Reason, "sender_down: ")
		case sender.Unfit:
			state = "refuses mail to everybody, it seems: " + sender.Reason
		case sender.LastSent != nil && sender.LastFail != nil && sender.LastFail.After(*sender.LastSent):
			state = "took one " + ago(*sender.LastSent) + ", then " + sender.Reason
		case sender.LastSent != nil:
			state = "took one " + ago(*sender.LastSent)
		case sender.LastFail != nil:
			state = sender.Reason
		}
		o.printf("  %s: %s\n", sender.Name, state)
	}
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func listSessions(o *operator) (err error) {
	all := operate.SessionPage{Sessions: []operate.Session{}}
	if len(o.args) == 1 {
		subs, err := o.subjects(o.args[0])
		if err != nil {
			return err
		}
		for _, sub := range subs {
			var of operate.SessionPage
			if err := o.api.call("GET", "sessions?user="+url.QueryEscape(sub), nil, &of); err != nil {
				return err
			}
			all.Sessions = append(all.Sessions, of.Sessions...)
		}
		return o.sessions(all)
	}
	all.Next, err = o.pages(func(query string) (string, error) {
		var page operate.SessionPage
		err := o.api.call("GET", "sessions?"+query, nil, &page)
		all.Sessions = append(all.Sessions, page.Sessions...)
		return page.Next, err
	})
	if err != nil {
		return err
	}
	return o.sessions(all)
}

func (o *operator) sessions(all operate.SessionPage) error {
	if o.json {
		return o.document(all)
	}
	var rows [][]string
	for _, s := range all.Sessions {
		rows = append(rows, []string{s.ID, s.Email, where(s), strings.TrimSpace(s.Method + " " + s.Token), ago(s.LastSeen), s.Expires.Local().Format(time.DateTime), s.Network, cmp.Or(screen.Browser(s.Agent), short(s.Agent))})
	}
	o.table("SESSION\tADDRESS\tSITES\tBY\tLAST SEEN\tENDS\tNETWORK\tBROWSER", rows)
	o.more("sessions", all.Next)
	return nil
}

// where is at which sites a session is good, or for which app and data.
func where(s operate.Session) string {
	if strings.HasPrefix(s.Audience, "app:") {
		return s.Audience
	}
	return strings.Join(s.Sites, " ")
}

// more says how to see the next page.
func (o *operator) more(command, next string) {
	if next != "" {
		o.warn("there are more: %s --after %s, or --all", command, next)
	}
}

func short(s string) string {
	const most = 30
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// ago is a time as people say it.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	default:
		return fmt.Sprintf("%d days ago", d/(24*time.Hour))
	}
}

func listUsers(o *operator) (err error) {
	if len(o.args) == 1 {
		return showUser(o)
	}
	if o.is("delete") {
		return usage("--delete needs to know whom: gatehouse users alice@example.com --delete")
	}
	all := operate.UserPage{Users: []operate.User{}}
	all.Next, err = o.pages(func(query string) (string, error) {
		var page operate.UserPage
		err := o.api.call("GET", "users?"+query, nil, &page)
		all.Users = append(all.Users, page.Users...)
		return page.Next, err
	})
	if err != nil {
		return err
	}
	if o.json {
		return o.document(all)
	}
	var rows [][]string
	for _, u := range all.Users {
		rows = append(rows, []string{u.Subject, cmp.Or(u.Email, u.Phone), u.Name, cmp.Or(u.App, strings.Join(u.Groups, " ")), u.Created.Local().Format(time.DateOnly)})
	}
	o.table("SUBJECT\tADDRESS\tNAME\tGROUPS OR APP\tSINCE", rows)
	o.more("users", all.Next)
	return nil
}

func showUser(o *operator) error {
	subs, err := o.subjects(o.args[0])
	if err != nil {
		return err
	}
	if o.is("delete") {
		return deleteUser(o, subs)
	}
	var users []operate.User
	for _, sub := range subs {
		var user operate.User
		if err := o.api.call("GET", "users/"+url.PathEscape(sub), nil, &user); err != nil {
			return err
		}
		users = append(users, user)
	}
	if o.json {
		users[0].Others = users[1:]
		return o.document(users[0])
	}
	for i, user := range users {
		if i > 0 {
			o.printf("\n")
		}
		o.printf("%s%s\nsubject   %s\nsince     %s\n", cmp.Or(user.Email, user.Phone), after("  ", user.Name), user.Subject, user.Created.Local().Format(time.DateTime))
		if user.App != "" {
			o.printf("app       %s\n\n", user.App)
		} else {
			o.printf("groups    %s\n\n", strings.Join(user.Groups, " "))
		}
		if err := o.sessions(operate.SessionPage{Sessions: user.Sessions}); err != nil {
			return err
		}
	}
	return nil
}

// deleteUser deletes one person. What is deleted does not come back, so an
// address that several people have is not enough.
func deleteUser(o *operator, subs []string) error {
	if len(subs) > 1 {
		return &Failure{Code: ExitNo, Problem: fmt.Sprintf("%d people have this address, at the gates and in apps; show them without --delete, then delete each by the subject: %s", len(subs), strings.Join(subs, ", "))}
	}
	var out struct {
		Subject string `json:"deleted"`
		operate.Deleted
	}
	if err := o.api.call("DELETE", "users/"+url.PathEscape(subs[0]), nil, &out); err != nil {
		return err
	}
	for _, org := range out.WithoutOwner {
		o.warn("the organization %s has no owner any more; its app can make another member the owner, with its secret key", org)
	}
	out.Subject = subs[0]
	return o.did(out, "deleted, with all sessions")
}

// did tells what was done.
func (o *operator) did(document any, text string) error {
	if o.json {
		return o.document(document)
	}
	o.printf("%s\n", text)
	return nil
}

// free is how much room the store's disk has, where that is known.
func free(s operate.StoreStatus) string {
	if s.Database != "" {
		return ""
	}
	return ", " + operate.Bytes(s.FreeBytes) + " free"
}
