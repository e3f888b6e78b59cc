package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/convert"
	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// buildConvert is the command for whoever comes from another gate. It asks no server.
func buildConvert(c *cobra.Command, host Host) {
	var from convert.Source
	from.Read = func(path string) ([]byte, error) {
		if path == from.Users {
			return readGiven(path)
		}
		return files.Read(path, mostGiven)
	}
	formats := strings.Join(slices.Sorted(maps.Keys(convert.Formats)), "|")
	c.Use = "convert " + formats + " <file>"
	c.Long = `Reads a configuration of Authelia or of oauth2-proxy and writes a Caddyfile for
Gatehouse to standard output. What could not be carried is closed, and each such
line is named on standard error. Nothing is asked, started or changed, and no
secret is written out: put those where the Caddyfile says.

Exit codes: 0 everything was carried; 1 the file can't be read; 2 wrong use; 3
something could not be carried.`
	c.Example = `  $ gatehouse convert authelia /etc/authelia/configuration.yml > Caddyfile
  $ gatehouse convert oauth2-proxy oauth2-proxy.cfg --people '*@example.com' > Caddyfile
  $ gatehouse validate --config Caddyfile`
	c.SilenceUsage, c.SilenceErrors = true, true
	c.Args = cobra.ArbitraryArgs
	flags := c.Flags()
	flags.StringVar(&from.Users, "users", "", "Authelia's file of users, where it is not the one that the configuration names")
	flags.StringSliceVar(&from.Everybody, "people", nil, "who stands for everybody that a directory or provider knows, as in *@example.com")
	flags.BoolVar(&from.OneFactor, "one-factor", false, "one factor, the email, is enough where two were asked for")
	flags.StringVar(&from.Host, "host", "", "the host of the app behind oauth2-proxy, where redirect_url does not say")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return end(c, host, usage("%v", err)) })
	only := map[string]string{"users": "authelia", "one-factor": "authelia", "host": "oauth2-proxy"}
	c.RunE = func(c *cobra.Command, args []string) error {
		return end(c, host, func() error {
			if len(args) != 2 || convert.Formats[args[0]] == nil {
				return usage("this command is written gatehouse convert %s <file>", formats)
			}
			for _, flag := range slices.Sorted(maps.Keys(only)) {
				if flags.Changed(flag) && only[flag] != args[0] {
					return usage("--%s is for a configuration of %s", flag, only[flag])
				}
			}
			if flags.Changed("host") && !convert.IsHost(from.Host) {
				return usage("--host %q: write a host name alone, as in app.example.com", from.Host)
			}
			for _, who := range from.Everybody {
				if _, err := policy.ParseWho(who); err != nil || policy.IsGroupName(who) || strings.ContainsAny(who, " \t\n{}\"`\\#") {
					return usage("--people %q: write addresses, as in alice@example.com, *@example.com or file:/etc/gatehouse/people.txt", who)
				}
			}
			var err error
			if from.Text, err = readGiven(args[1]); err != nil {
				return err
			}
			from.Name = args[1]
			result, err := convert.Formats[args[0]](from)
			if err != nil {
				return err
			}
			return tell(c, result)
		}())
	}
}

// mostGiven bounds a configuration, and a file that one names.
const mostGiven = 16 << 20

// readGiven reads a file that somebody names on the command line, which may be a pipe.
func readGiven(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return files.Whole(file, mostGiven)
}

func tell(c *cobra.Command, result convert.Result) error {
	if _, err := fmt.Fprint(c.OutOrStdout(), result.Caddyfile); err != nil {
		return err
	}
	if len(result.Notes) == 0 {
		return nil
	}
	out := c.ErrOrStderr()
	for _, n := range result.Notes {
		fmt.Fprintln(out, n)
	}
	return errNo
}
