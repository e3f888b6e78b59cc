package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

func revoke(o *operator) error {
	switch {
	case o.is("all") && len(o.args) == 0:
		return replaceKeys(o, true)
	case o.is("all") || len(o.args) == 0:
		return usage("say whose sessions, or --all: gatehouse revoke alice@example.com")
	}
	who := o.args[0]
	if !strings.Contains(who, "@") {
		err := o.api.call("DELETE", "sessions/"+url.PathEscape(who), nil, nil)
		if err == nil {
			return o.did(map[string]any{"ended": who}, "the session has ended")
		}
		if !isNotFoundCall(err) {
			return err
		}
	}
	subs, err := o.subjects(who)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		err = o.api.call("POST", "users/"+url.PathEscape(sub)+"/end-sessions", nil, nil)
		if isNotFoundCall(err) {
			return &Failure{Code: ExitNo, Problem: "there is neither a live session nor a person of this name"}
		}
		if err != nil {
			return err
		}
	}
	return o.did(map[string]any{"ended_all_of": subs}, "all sessions of this person have ended")
}

func rotateKeys(o *operator) error { return replaceKeys(o, o.is("revoke")) }

func replaceKeys(o *operator, revoke bool) error {
	var out struct {
		Key     string `json:"kid"`
		Revoked bool   `json:"revoked"`
	}
	if err := o.api.call("POST", "keys/rotate", map[string]bool{"revoke": revoke}, &out); err != nil {
		return err
	}
	text := "a new key signs from now on: " + out.Key
	if revoke {
		text += "\nall sessions of everybody have ended, with the tokens that people made, and the old keys are gone"
	}
	return o.did(out, text)
}

func testEmail(o *operator) error {
	var out operate.TestMail
	// None having taken it is an answer, too, though with another status.
	resp, err := o.api.post("test-email", map[string]string{"to": o.args[0]})
	if err != nil {
		return err
	}
	defer resp.Close()
	if err := json.NewDecoder(resp).Decode(&out); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if o.json {
		err = o.document(out)
	} else {
		for _, r := range out.Results {
			o.printf("%s: %s after %.1f s%s\n", r.Sender, r.Outcome, r.Seconds, after(": ", r.Detail))
		}
	}
	// A sender that only stands by may fail: sign-in mails take the first.
	if err == nil && (len(out.Results) == 0 || !out.Results[0].Sent) {
		return errNo
	}
	return err
}

func unlock(o *operator) error {
	var out operate.Unlocked
	if err := o.api.call("POST", "unlock", map[string]string{"email": o.args[0]}, &out); err != nil {
		return err
	}
	var done []string
	if out.Mails {
		done = append(done, "the mails that this address has got so far don't count any more")
	}
	if out.Held {
		done = append(done, "mail that came back holds no other any more; your mail provider may keep a list of its own with this address")
	}
	text := cmp.Or(strings.Join(done, "\n"), "nothing held mail to this address back")
	if out.PausedUntil != nil {
		text += "\nits owner said \"this wasn't me\": until " + out.PausedUntil.Local().Format(time.DateTime) + " it gets none that an unknown browser asks for"
	}
	return o.did(out, text)
}

func showWhy(o *operator) error {
	in := map[string]string{"email": o.args[0]}
	if len(o.args) == 2 {
		in["site"] = o.args[1]
	}
	var why operate.Why
	if err := o.api.call("POST", "why", in, &why); err != nil {
		return err
	}
	if o.json {
		if err := o.document(why); err != nil {
			return err
		}
	} else {
		o.explain(why)
	}
	if !why.Allowed {
		return errNo
	}
	return nil
}

func inWords(v operate.Verdict) string {
	switch {
	case v.Allowed:
		return "allowed, by " + v.Rule
	case v.Entry != "":
		return "not allowed: " + v.Entry
	}
	return "not allowed: no entry names this address"
}

func (o *operator) explain(why operate.Why) {
	o.printf("%s\n", inWords(why.Verdict))
	for _, gate := range why.Gates {
		verdict := ""
		if len(why.Gates) > 1 {
			verdict = inWords(gate.Verdict)
		}
		o.printf("  gate %s%s\n", gate.At, after(": ", verdict))
		for _, besides := range gate.Besides {
			o.printf("    %s\n", besides)
		}
	}
	o.printf("mark in the audit log: %s\n", why.Mark)
	if why.HeldUntil != nil {
		o.printf("mail that unknown browsers ask for is held until %s, because other mail %s; gatehouse unlock lifts that\n", why.HeldUntil.Local().Format(time.DateTime), cameBack(why))
	}
	if why.PausedUntil != nil {
		o.printf("mail that unknown browsers ask for is paused until %s: its owner said \"this wasn't me\"\n", why.PausedUntil.Local().Format(time.DateTime))
	}
	for _, p := range why.Problems {
		o.printf("%s  %s%s\n", p.At.Local().Format(time.DateTime), p.Outcome, after(": ", p.Detail))
	}
	if len(why.Mails) == 0 {
		o.printf("no code was asked for in the last day\n")
	}
	for _, m := range why.Mails {
		o.printf("\n%s  %s%s\n", m.At.Local().Format(time.DateTime), m.Outcome, after(" at ", m.Site))
		if m.Waited != nil {
			o.printf("  %s\n", tookAfter(why.Domain, *m.Waited))
		}
		for _, step := range m.Steps {
			times := ""
			if step.Count > 1 {
				times = fmt.Sprintf(" (%d times)", step.Count)
			}
			o.printf("  %s  %s%s%s%s\n", step.At.Local().Format(time.TimeOnly), step.Outcome, times, after(" by ", step.Sender), after(": ", step.Detail))
		}
	}
}

// cameBack says what holds mail back, by the newest that can.
func cameBack(why operate.Why) string {
	if len(why.Problems) > 0 && why.Problems[0].Outcome == "complained" {
		return "was called spam"
	}
	return "came back"
}

// tookAfter says how long a mail waited, and how long others do.
func tookAfter(d operate.DomainStatus, waited float64) string {
	text := d.Name + " took the mail after " + inWhole(waited)
	switch {
	case d.Wait == nil:
		return text
	case math.Abs(waited-*d.Wait) < max(30, *d.Wait/2):
		return text + ", its usual wait"
	}
	return text + "; its usual wait is " + inWhole(*d.Wait)
}

// inWhole is a time in minutes, or in seconds.
func inWhole(seconds float64) string {
	if seconds < 60 {
		return operate.Count(int64(math.Round(seconds)), "second", "seconds")
	}
	return operate.Count(int64(math.Round(seconds/60)), "minute", "minutes")
}

func showDoctor(o *operator) error {
	if o.flag("proxy") != "" {
		return showSnippet(o)
	}
	s, err := o.found()
	if err != nil {
		return err
	}
	if o.json {
		err = o.document(map[string]any{"findings": s.Findings})
	} else {
		for _, f := range s.Findings {
			o.printf("%-8s %s: %s\n", f.Level, f.Check, f.Found)
			if f.Do != "" {
				o.printf("         %s\n", f.Do)
			}
		}
	}
	for _, f := range s.Findings {
		if err == nil && f.Level == operate.LevelError {
			return errNo
		}
	}
	return err
}

// found asks the doctor about the instance, or about a mail.
func (o *operator) found() (s operate.Status, err error) {
	file, to := o.flag("received"), o.flag("mail-to")
	switch {
	case file != "":
		var headers string
		if headers, err = mailHeaders(file); err == nil {
			err = o.api.call("POST", "doctor", map[string]string{"received": headers}, &s)
		}
	case to != "":
		err = o.api.call("POST", "doctor", map[string]string{"mail_to": to}, &s)
	default:
		err = o.api.call("GET", "status?doctor=true", nil, &s)
	}
	return s, err
}

// mailHeaders reads the headers of a mail, and nothing of what it says.
func mailHeaders(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", &Failure{Code: ExitUsage, Problem: err.Error()}
	}
	mail := strings.TrimLeft(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if strings.HasPrefix(mail, "From ") { // the line before each mail of an mbox
		_, mail, _ = strings.Cut(mail, "\n")
	}
	headers, _, _ := strings.Cut(mail, "\n\n")
	if strings.TrimSpace(headers) == "" {
		return "", &Failure{Code: ExitUsage, Problem: file + " is empty; save the mail with all its headers, in most mail programs by \"download\" or \"save as .eml\""}
	}
	const most = 48 << 10
	if len(headers) > most {
		return "", &Failure{Code: ExitUsage, Problem: fmt.Sprintf("%s has no headers of a mail at its beginning: they are longer than %d bytes", file, most)}
	}
	return headers, nil
}

// showSnippet prints the configuration of another proxy.
func showSnippet(o *operator) error {
	var s operate.Status
	if err := o.api.call("GET", "status?proxy="+url.QueryEscape(o.flag("proxy")), nil, &s); err != nil {
		return err
	}
	if o.json {
		return o.document(map[string]any{"snippet": s.Snippet})
	}
	o.printf("%s", s.Snippet)
	return nil
}

func exportLines(o *operator) error {
	path := "export"
	if o.is("keys") {
		path += "?keys=true"
		o.warn("WARNING: whoever has this file and the secret can sign in as anybody")
	}
	resp, err := o.api.open("GET", path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	file := o.flag("output")
	if file == "" {
		if o.json {
			return usage("--json tells how much was written: give --output as well")
		}
		_, err := copyExport(o.out, resp.Body)
		return err
	}
	count, err := writeWhole(file, func(w io.Writer) (move.Exported, error) { return copyExport(w, resp.Body) })
	if err != nil {
		return err
	}
	return o.did(count, fmt.Sprintf("%s are in %s%s", counted(count), file, ofApps(count)))
}

// counted tells what there is of the gates, ofApps of apps.
func counted(n move.Exported) string {
	return fmt.Sprintf("%s, %s and %s", operate.Count(n.People, "person", "people"), operate.Count(n.Sessions, "session", "sessions"), operate.Count(n.Keys, "key", "keys"))
}

func ofApps(n move.Exported) string {
	n.People, n.Sessions, n.Keys = 0, 0, 0
	if n == (move.Exported{}) {
		return ""
	}
	return fmt.Sprintf("; of apps %s, %s, %s, %s and %s", operate.Count(n.AppPeople, "person", "people"), operate.Count(n.AppSessions, "session", "sessions"),
		operate.Count(n.Organizations, "organization", "organizations"), operate.Count(n.Memberships, "membership", "memberships"), operate.Count(n.Invites, "invitation", "invitations"))
}

// copyExport copies the lines and finds out from the last whether they are
// whole.
func copyExport(w io.Writer, r io.Reader) (move.Exported, error) {
	lines := bufio.NewReader(r)
	var last []byte
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			last = line
			if _, err := w.Write(line); err != nil {
				return move.Exported{}, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return move.Exported{}, fmt.Errorf("the export was cut off: %w; do it again", err)
		}
	}
	var end struct {
		Type string `json:"type"`
		move.Exported
	}
	if json.Unmarshal(bytes.TrimSpace(last), &end) != nil || end.Type != "end" {
		return move.Exported{}, errors.New("the export was cut off; do it again")
	}
	return end.Exported, nil
}

// writeWhole writes a file that only its owner can read, and that is there only
// if it is whole.
func writeWhole(name string, write func(io.Writer) (move.Exported, error)) (move.Exported, error) {
	temp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-*") // 0600
	if err != nil {
		return move.Exported{}, err
	}
	defer os.Remove(temp.Name())
	count, err := write(temp)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return count, err
	}
	return count, os.Rename(temp.Name(), name)
}

func importLines(o *operator) error {
	lines := o.in
	if name := o.args[0]; name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return &Failure{Code: ExitUsage, Problem: err.Error()}
		}
		defer file.Close()
		lines = file
	}
	var done move.Imported
	if err := o.api.call("POST", "import", lines, &done); err != nil {
		return err
	}
	return o.did(done, fmt.Sprintf("%s are new or changed%s, %s said nothing new", counted(done.Exported), ofApps(done.Exported), operate.Count(done.Unchanged, "line", "lines")))
}
