package cli

import (
	"bufio"
	"cmp"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

var admitCommand = operatorCommand{
	name: "admit", args: "<address> --ref <letters>", short: "Gives out a code while mail is down", least: 1, most: 1, run: admit,
	flags: func(c *cobra.Command) {
		c.Flags().String("ref", "", "the six letters that the visitor's page shows")
		c.Flags().String("because", "", "why, for the audit log")
		c.Flags().Bool("yes", false, "give it out without asking")
	},
	long:    "For somebody who must get in while no mail goes out: shows browser, place and time of\nwhat was started under the letters that the visitor reads to you, asks, and prints a\ncode that works in that browser alone, once, for ten minutes. Be sure whom you are\ntalking to: the code stands for their mailbox. The person gets a mail about it later.",
	example: "  $ gatehouse admit alice@example.com --ref ABCDEF --because \"called me, I know her voice\"\n  $ gatehouse admit alice@example.com --ref ABCDEF --yes --json | jq -r .code",
}

// unadmitted says why no code is given out, by the words of the admin API.
var unadmitted = map[string]string{
	"admitted":    "a code was given out for this reference already; the visitor gets a new one by starting again",
	"not_allowed": "no gate admits this address: gatehouse why tells more",
	"paused":      "its owner has said \"this wasn't me\", and this browser has never signed in with it",
	"locked":      "too many wrong codes",
	"used":        "this sign-in is done",
	"expired":     "it is too old; the visitor gets a new reference by starting again",
}

func admit(o *operator) error {
	wish := operate.AdmitWish{Email: o.args[0], Ref: o.flag("ref"), Because: o.flag("because"), Operator: unixUser()}
	switch {
	case wish.Ref == "":
		return usage("say which sign-in: gatehouse admit alice@example.com --ref ABCDEF, with the letters that the visitor's page shows")
	case o.json && !o.is("yes"):
		return usage("--json asks nothing: give --yes as well")
	}
	var out operate.Admission
	if err := o.api.call("POST", "admit", wish, &out); err != nil {
		return err
	}
	if !o.json {
		o.printf("address  %s\nsite     %s\nstarted  %s, %s\nbrowser  %s, %s\nnetwork  %s\n", out.Email, out.Site,
			out.AskedAt.Local().Format(time.DateTime), ago(out.AskedAt),
			cmp.Or(screen.Browser(out.Agent), short(out.Agent), "says nothing of itself"), knownBefore(out.Known), out.Network)
		if out.MailWorks {
			o.printf("mail     works again: the visitor's page can send a code, which is the safer way\n")
		}
	}
	if out.Refused == "" && (o.is("yes") || o.agrees("Give out a code for this? [y/N] ")) {
		wish.Yes = true
		if err := o.api.call("POST", "admit", wish, &out); err != nil {
			return err
		}
	}
	switch {
	case o.json:
		if err := o.document(out); err != nil {
			return err
		}
	case out.Refused != "":
		o.printf("no code: %s\n", cmp.Or(unadmitted[out.Refused], out.Refused))
	case out.Code != "":
		o.printf("code %s, until %s, in that browser alone, under \"I've been given a code\"\n", out.Code, out.Expires.Local().Format(time.TimeOnly))
	}
	if out.Code == "" {
		return errNo
	}
	return nil
}

func knownBefore(known bool) string {
	if known {
		return "which has signed in with this address by mail before"
	}
	return "which has never signed in with this address by mail"
}

// agrees asks the operator.
func (o *operator) agrees(question string) bool {
	o.printf("%s", question)
	line, _ := bufio.NewReader(o.in).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// unixUser is who runs the command, also behind sudo.
func unixUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	if who := os.Getenv("SUDO_USER"); who != "" && who != u.Username {
		return u.Username + " (sudo by " + who + ")"
	}
	return u.Username
}
