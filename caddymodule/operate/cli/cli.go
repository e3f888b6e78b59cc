package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Command is one command, as the binary that it is built into registers it.
type Command struct {
	Name, Short string
	Build       func(*cobra.Command)
}

// Host is what the commands need of the server's own binary.
type Host struct {
	// Endpoint finds the admin endpoint: at address, if that is given, else
	// where the configuration has it, else where the server has it by itself.
	Endpoint func(address, config, adapter string) (Endpoint, error)
	// Brand reads the brand of a configuration, which is not started.
	Brand func(config, adapter string) (screen.Brand, error)
	// Exit ends cmd with a code other than 0 and 1.
	Exit func(cmd *cobra.Command, code int) error
}

// Commands are all commands.
func Commands(host Host) []Command {
	var all []Command
	for _, c := range operatorCommands {
		all = append(all, Command{c.name, c.short, func(cmd *cobra.Command) { c.build(cmd, host) }})
	}
	return append(all,
		Command{"pages", "Writes out the templates, shows pages and mails", func(cmd *cobra.Command) { buildPages(cmd, host) }},
		Command{"convert", "Makes a Caddyfile of a configuration of Authelia or oauth2-proxy", func(cmd *cobra.Command) { buildConvert(cmd, host) }})
}

// The exit codes of the commands. Scripts rest on them.
const (
	ExitDone   = 0
	ExitFailed = 1 // the server can't be reached, or can't do it now
	ExitUsage  = 2
	ExitNo     = 3
)

// ExitCodes explains them.
const ExitCodes = `Exit codes: 0 done; 1 the server can't be reached or can't do it now; 2 wrong use;
3 the answer is no (not allowed, not found, not sent, mail down, a line refused, an
error found).`

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
	api  *client
}

// Failure is why a command did not do what was asked, and what to try.
type Failure struct {
	Code    int
	Problem string
	Try     string
}

func (e *Failure) Error() string {
	if e.Try == "" {
		return e.Problem
	}
	return e.Problem + "\n" + e.Try
}

func usage(format string, args ...any) error {
	return &Failure{Code: ExitUsage, Problem: fmt.Sprintf(format, args...)}
}

// errNo ends a command whose output has said the no already.
var errNo = &Failure{Code: ExitNo}

func (c operatorCommand) build(cmd *cobra.Command, host Host) {
	cmd.Use = strings.TrimSpace(c.name + " " + c.args)
	cmd.Long = strings.TrimSpace(c.long) + "\n\n" + ExitCodes
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
		return end(cmd, host, usage("%v", err))
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return end(cmd, host, c.do(cmd, host, args)) }
}

func (c operatorCommand) do(cmd *cobra.Command, host Host, args []string) error {
	if len(args) < c.least || len(args) > c.most {
		return usage("this command is written %s", cmd.UseLine())
	}
	o := &operator{cmd: cmd, args: args, in: cmd.InOrStdin(), out: cmd.OutOrStdout()}
	o.json, _ = cmd.Flags().GetBool("json")
	endpoint, err := host.Endpoint(o.flag("address"), o.flag("config"), o.flag("adapter"))
	if err != nil {
		return err
	}
	o.api = &client{endpoint, endpoint.Client()}
	return c.run(o)
}

// end tells what went wrong, and turns it into the exit code.
func end(cmd *cobra.Command, host Host, err error) error {
	if err == nil {
		return nil
	}
	code := ExitFailed
	if known := new(Failure); errors.As(err, &known) {
		code = known.Code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmd.CommandPath(), text)
	}
	if code == ExitFailed {
		return err
	}
	return host.Exit(cmd, code)
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
