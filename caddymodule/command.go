package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "gatehouse", Short: "Asks and tells a running Gatehouse: sessions, people, mail, keys",
		CobraFunc: func(root *cobra.Command) {
			root.Use = "gatehouse <command>"
			root.Long = "Commands for whoever runs a site with Gatehouse. They talk to the running server\nover Caddy's admin endpoint.\n\n" + exitCodes
			for _, c := range Commands() {
				sub := &cobra.Command{Short: c.Short}
				c.CobraFunc(sub)
				root.AddCommand(sub)
			}
		},
	})
}

// Commands are the operators' commands, for a binary that has them at its root:
// gatehouse sessions, where other builds have caddy gatehouse sessions.
func Commands() []caddycmd.Command {
	var all []caddycmd.Command
	for _, c := range operatorCommands {
		all = append(all, caddycmd.Command{Name: c.name, Short: c.short, CobraFunc: c.build})
	}
	return append(all, caddycmd.Command{Name: "pages", Short: pagesShort, CobraFunc: buildPages})
}

// The exit codes of the commands. Scripts rest on them.
const (
	exitDone   = 0
	exitFailed = 1 // the server can't be reached, or can't do it now
	exitUsage  = 2
	exitNo     = 3
)

const exitCodes = `Exit codes: 0 done; 1 the server can't be reached or can't do it now; 2 wrong use;
3 the answer is no (not allowed, not found, not sent, a line refused, an error found).`

// operatorCommand is one of the commands.
type operatorCommand struct {
	name, args, short, long, example string
	least, most                      int // how many arguments
	flags                            func(*cobra.Command)
	run                              func(*operator) error
}

// operator is one run of a command.
type operator struct {
	cmd  *cobra.Command
	args []string
	in   io.Reader
	out  io.Writer
	json bool
	api  *adminClient
}

// commandError is why a command did not do what was asked, and what to try.
type commandError struct {
	code    int
	problem string
	try     string
}

func (e *commandError) Error() string {
	if e.try == "" {
		return e.problem
	}
	return e.problem + "\n" + e.try
}

func usage(format string, args ...any) error {
	return &commandError{code: exitUsage, problem: fmt.Sprintf(format, args...)}
}

// errNo ends a command whose output has said the no already.
var errNo = &commandError{code: exitNo}

func (c operatorCommand) build(cmd *cobra.Command) {
	cmd.Use = strings.TrimSpace(c.name + " " + c.args)
	cmd.Long = strings.TrimSpace(c.long) + "\n\n" + exitCodes
	cmd.Example = c.example
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.Args = cobra.ArbitraryArgs
	flags := cmd.Flags()
	flags.String("address", "", "the admin endpoint, such as localhost:2019 or unix//run/admin.sock")
	flags.StringP("config", "c", "", "the configuration that says where the admin endpoint is")
	flags.StringP("adapter", "a", "", "the adapter of that configuration")
	flags.Bool("json", false, "print one JSON document")
	if c.flags != nil {
		c.flags(cmd)
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return c.end(cmd, usage("%v", err))
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return c.end(cmd, c.do(cmd, args)) }
}

func (c operatorCommand) do(cmd *cobra.Command, args []string) error {
	if len(args) < c.least || len(args) > c.most {
		return usage("this command is written %s", cmd.UseLine())
	}
	o := &operator{cmd: cmd, args: args, in: cmd.InOrStdin(), out: cmd.OutOrStdout()}
	o.json, _ = cmd.Flags().GetBool("json")
	var err error
	if o.api, err = newAdminClient(o.flag("address"), o.flag("config"), o.flag("adapter")); err != nil {
		return err
	}
	return c.run(o)
}

// end tells what went wrong, and turns it into the exit code.
func (c operatorCommand) end(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	code := exitFailed
	if known := new(commandError); errors.As(err, &known) {
		code = known.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmd.CommandPath(), text)
	}
	if code == exitFailed {
		return err
	}
	// Only Caddy's wrapper knows how to hand other codes to its main.
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

func (o *operator) flag(name string) string {
	value, _ := o.cmd.Flags().GetString(name)
	return value
}

func (o *operator) is(name string) bool {
	value, _ := o.cmd.Flags().GetBool(name)
	return value
}

func (o *operator) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }

// warn tells something that is no part of the output.
func (o *operator) warn(format string, args ...any) {
	fmt.Fprintf(o.cmd.ErrOrStderr(), format+"\n", args...)
}
