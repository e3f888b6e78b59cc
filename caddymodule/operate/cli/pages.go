package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/pages"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// buildPages is the command for whoever makes pages and mails look like their
// own. Unlike the operators' other commands it needs no running server.
func buildPages(c *cobra.Command, host Host) {
	c.Use = "pages <command>"
	c.Long = `Pages and mails are made from templates and from one catalog of texts for each
language. A directory that the option brand names as pages replaces single ones
of them; docs/templates.md lists what a template can show.`
	c.AddCommand(exportCommand(), previewCommand(host))
}

func exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export <directory>",
		Short: "Writes the templates and catalogs that come with Gatehouse",
		Long: `Writes the templates and catalogs that come with Gatehouse to a directory.
Nothing is overwritten. Keep the ones you change and delete the others: what is
not in the directory stays as Gatehouse brings it, also in later versions.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := screen.Export(args[0]); err != nil {
				return err
			}
			dir, err := filepath.Abs(args[0]) // the server may be started elsewhere
			if err == nil {
				_, err = fmt.Fprintf(c.OutOrStdout(), "The templates are in %[1]s. Name the directory in the Caddyfile:\n    brand \"Example\" {\n        pages %[1]s\n    }\n", dir)
			}
			return err
		},
	}
}

func previewCommand(host Host) *cobra.Command {
	var listen, config, adapter string
	c := &cobra.Command{
		Use:   "preview",
		Short: "Shows every page and mail in every state and language",
		Long: `Serves every page in every state and every mail, in every language, light and
dark, until it is interrupted. With --config in the brand of that configuration;
files are read anew for each page. Nobody can sign in there.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			brand, err := host.Brand(config, adapter)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return servePreview(ctx, c, listen, brand)
		},
	}
	c.Flags().StringVar(&listen, "listen", "localhost:8090", "where to listen")
	c.Flags().StringVarP(&config, "config", "c", "", "configuration whose brand to use")
	c.Flags().StringVarP(&adapter, "adapter", "a", "", "name of the configuration's format, if its file name does not tell")
	return c
}

func servePreview(ctx context.Context, c *cobra.Command, listen string, brand screen.Brand) error {
	if _, err := screen.NewLook(brand); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("%w; name another place with --listen localhost:8091", err)
	}
	server := &http.Server{Handler: pages.Preview(brand), ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if _, err := fmt.Fprintf(c.OutOrStdout(), "Open http://%s/\n", listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
