package cli

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

// operatorCommands are all commands but those that ask no server.
var operatorCommands = []operatorCommand{
	{
		name: "status", short: "Shows how the running server is", run: showStatus,
		long:    "Shows how many sessions and people there are (about), whether mail goes out and\nhow the store is. The answer is no while mail is down and sign-ins are refused.",
		example: "  $ gatehouse status\n  $ gatehouse status --json | jq .mail",
	}, {
		name: "sessions", args: "[<address or subject>]", short: "Lists who is signed in", most: 1, flags: pageFlags, run: listSessions,
		long:    "Lists live sessions by page, or those of one person: at the gates and in all apps.",
		example: "  $ gatehouse sessions\n  $ gatehouse sessions alice@example.com\n  $ gatehouse sessions --all --json",
	}, {
		name: "users", args: "[<address or subject>]", short: "Lists people, shows or deletes one", most: 1, run: listUsers,
		flags: func(c *cobra.Command) {
			pageFlags(c)
			c.Flags().Bool("delete", false, "delete the person, with sessions, history and places in organizations")
		},
		long:    "Lists everybody who has signed in at a gate at least once, and the people of apps;\nor shows one person. An address may be several people: each app has its own. To\ndelete one of them, name the subject.",
		example: "  $ gatehouse users\n  $ gatehouse users alice@example.com\n  $ gatehouse users alice@example.com --delete",
	}, {
		name: "revoke", args: "<session, address or subject>", short: "Ends a session, or all of one person's", most: 1, run: revoke,
		flags: func(c *cobra.Command) {
			c.Flags().Bool("all", false, "end all sessions of everybody; the signing keys are replaced, too")
		},
		long:    "Ends sessions: they are refused at once, and open streams are cut. An address\nstands for its person at the gates and in all apps.",
		example: "  $ gatehouse revoke alice@example.com\n  $ gatehouse revoke 0rm6yCXrTGiQ0vKM9tWbLw\n  $ gatehouse revoke --all",
	}, {
		name: "rotate-keys", short: "Makes a new signing key", run: rotateKeys,
		flags: func(c *cobra.Command) {
			c.Flags().Bool("revoke", false, "for a key that has become known: end all sessions and drop the old keys")
		},
		long:    "Makes a new key for cookies and assertions, which signs from now on. Old cookies\nstay valid until their sessions end. Keys also rotate by themselves.",
		example: "  $ gatehouse rotate-keys\n  $ gatehouse rotate-keys --revoke",
	}, appsCommand, {
		name: "test-email", args: "<address>", short: "Sends a test mail through every sender", least: 1, most: 1, run: testEmail,
		long:    "Sends one mail through each sender that is configured, fallbacks too, and says\nwhat each answered. The answer is no unless the first one took it.",
		example: "  $ gatehouse test-email you@example.com",
	}, {
		name: "unlock", args: "<address>", short: "Lets mail to an address flow again", least: 1, most: 1, run: unlock,
		long:    "Forgets the mails that an address has got so far (per_recipient), and that others came\nback, so that it gets new ones at once. Wrong codes stay counted, and so does its owner's \"this wasn't me\".",
		example: "  $ gatehouse unlock alice@example.com",
	}, admitCommand, {
		name: "why", args: "<address> [<site>]", short: "Explains whether somebody gets in, and what became of their mails", least: 1, most: 2, run: showWhy,
		long:    "Tells whether a person would be admitted at a site, through which rule, and what\nbecame of each code that was asked for in the last day. Without a site it tells\nwhether any gate admits the person. Each gate that was asked has its verdict.",
		example: "  $ gatehouse why alice@example.com https://app.example.com/admin",
	}, {
		name: "doctor", short: "Looks for what is wrong or will be", run: showDoctor,
		flags: func(c *cobra.Command) {
			c.Flags().String("mail-to", "", "send one mail to this address, as sign-in mails go")
			c.Flags().String("received", "", "look at such a mail as it came: a file in .eml form")
			c.Flags().String("proxy", "", "print the configuration of another proxy for the sites here: nginx, haproxy, traefik, envoy or caddy")
		},
		long:    "Looks at configuration, DNS of the sender, the way to the mail server, clock,\ncookie domain, store and trusted proxies, and says what to do about each finding.",
		example: "  $ gatehouse doctor\n  $ gatehouse doctor --config /etc/gatehouse/Caddyfile\n  $ gatehouse doctor --proxy nginx\n  $ gatehouse doctor --mail-to me@example.org\n  $ gatehouse doctor --received mail.eml",
	}, {
		name: "export", short: "Writes people, sessions and organizations as JSON lines", run: exportLines,
		flags: func(c *cobra.Command) {
			c.Flags().Bool("keys", false, "with the signing keys, wrapped with the secret")
			c.Flags().StringP("output", "o", "", "the file to write; default: standard output")
		},
		long:    "Writes people, their sessions and organizations, also those of apps, as lines of\nJSON for gatehouse import. The file is personal data; whoever has it and the secret\ncan make the tokens of apps' sessions and, with --keys, sign in as anybody.",
		example: "  $ gatehouse export --output backup.ndjson\n  $ gatehouse export --keys --output move.ndjson",
	}, {
		name: "import", args: "<file, or - for standard input>", short: "Takes over what export wrote", least: 1, most: 1, run: importLines,
		long:    "Takes over people, sessions, organizations and keys. All lines are checked before the first is\ntaken over; a broken one is named and nothing is changed. The same file again\nchanges nothing, so an import that was interrupted is simply done again.",
		example: "  $ gatehouse import backup.ndjson\n  $ ssh old-machine gatehouse export --keys | gatehouse import -",
	},
}

// groups are the commands by what they are for, as help shows them.
var groups = []struct {
	title string
	names []string
}{
	{"Who gets in, and who is in:", []string{"why", "sessions", "users", "revoke", "unlock", "admit"}},
	{"How it runs:", []string{"status", "doctor", "test-email"}},
	{"Set it up:", []string{"apps", "pages", "convert"}},
	{"State and keys:", []string{"export", "import", "rotate-keys"}},
}

// Arrange has the help of parent show our commands first and by what they are for,
// then all others, if there are any, under a title of their own.
func Arrange(parent *cobra.Command, others string) {
	for _, g := range groups {
		parent.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
	}
	if others != "" {
		parent.AddGroup(&cobra.Group{ID: others, Title: others})
		parent.SetHelpCommandGroupID(others)
		parent.SetCompletionCommandGroupID(others)
	}
	for _, c := range parent.Commands() {
		c.GroupID = others
		for _, g := range groups {
			if slices.Contains(g.names, c.Name()) {
				c.GroupID = g.title
			}
		}
	}
}

func pageFlags(c *cobra.Command) {
	c.Flags().Int("limit", 100, "how many on a page, at most 1000")
	c.Flags().String("after", "", "the page after this one")
	c.Flags().Bool("all", false, "all pages")
}

// pages calls one with the query of each page that was asked for, and returns
// what leads to the page after the last.
func (o *operator) pages(one func(query string) (next string, err error)) (string, error) {
	limit, _ := o.cmd.Flags().GetInt("limit")
	if limit < 1 || limit > session.MaxPage {
		return "", usage("--limit is a number from 1 to %d", session.MaxPage)
	}
	next := o.flag("after")
	for {
		query := url.Values{"limit": {fmt.Sprint(limit)}, "after": {next}}
		var err error
		if next, err = one(query.Encode()); err != nil || next == "" || !o.is("all") {
			return next, err
		}
	}
}

// subjects finds the subjects of who has an address, at the gates and in apps.
// No address is sent in a URL, which Caddy would log.
func (o *operator) subjects(who string) (subs []string, err error) {
	if !strings.Contains(who, "@") {
		return []string{who}, nil
	}
	var why operate.Why
	if err := o.api.call("POST", "why", map[string]string{"email": who}, &why); err != nil {
		return nil, err
	}
	if why.Subject != "" {
		subs = append(subs, why.Subject)
	}
	subs = append(subs, why.Others...)
	if len(subs) == 0 {
		return nil, &Failure{Code: ExitNo, Problem: "nobody with this address is known here"}
	}
	return subs, nil
}
