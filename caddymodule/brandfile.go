package caddymodule

import (
	"errors"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/caddymodule/option"
	"github.com/gatehouse-auth/gatehouse/pages/screen"
)

// Brand is how pages and mails present the site.
type Brand struct {
	// Name stands on the pages and in the mails. Default: the host.
	Name string `json:"name,omitempty"`
	// Logo is a picture to show instead of the name: PNG, JPEG, WebP or SVG, at
	// most 256 KiB.
	Logo string `json:"logo,omitempty"`
	// LogoDark is the same for dark pages. Default: Logo.
	LogoDark string `json:"logo_dark,omitempty"`
	// Accent is the colour of buttons and links, as in #1d4ed8. It must be dark
	// enough to be read on white; the one for dark pages is made from it.
	Accent string `json:"accent,omitempty"`
	// Pages is a directory with templates and catalogs of one's own, as
	// gatehouse pages export writes them.
	Pages string `json:"pages,omitempty"`
	// Support is an address for help, shown on every page and in every mail.
	Support string `json:"support,omitempty"`
}

// readBrand reads the option brand. Syntax:
//
//	brand ["<name>"] {
//	    logo    <file> [<file for dark pages>]
//	    accent  "<colour>"
//	    pages   <dir>
//	    support <address>
//	}
func (a *App) readBrand(d *caddyfile.Dispenser) error {
	if err := option.Once("brand", a.Brand != nil); err != nil {
		return err
	}
	args, err := option.Arguments(d, 0, 1, `brand "Example Wiki"`)
	if err != nil {
		return err
	}
	a.Brand = new(Brand)
	if len(args) == 1 {
		a.Brand.Name = args[0]
	}
	if err := brandWords.Read(d, a.Brand); err != nil {
		return err
	}
	if *a.Brand == (Brand{}) {
		return errors.New("brand says nothing; write for example\n    brand \"Example Wiki\"")
	}
	return a.Brand.look().Check()
}

var brandWords = option.Block[*Brand]{
	Of: "brand",
	Words: []option.Word[*Brand]{
		option.Line("logo", readLogo),
		option.Line("accent", readAccent),
		option.Text("pages /etc/gatehouse/pages", func(b *Brand) *string { return &b.Pages }),
		option.Text("support help@example.com", func(b *Brand) *string { return &b.Support }, func(b *Brand) error { return b.look().Check() }),
	},
}

func readLogo(b *Brand, d *caddyfile.Dispenser) error {
	if err := option.Once("logo", b.Logo != ""); err != nil {
		return err
	}
	const try = "logo /etc/gatehouse/logo.svg /etc/gatehouse/logo-dark.svg"
	files, err := option.Arguments(d, 1, 2, try)
	switch {
	case err != nil:
		return err
	case slices.Contains(files, ""):
		return option.Missing("logo is empty", try)
	case len(files) == 2:
		b.LogoDark = files[1]
	}
	b.Logo = files[0]
	return nil
}

// readAccent knows that a colour without quotes is a comment: nothing of it
// arrives here.
func readAccent(b *Brand, d *caddyfile.Dispenser) error {
	if err := option.One(d, &b.Accent, `accent "#1d4ed8"`); err != nil {
		return fmt.Errorf("%w\nwith the quotes: without them # begins a comment", err)
	}
	return b.look().Check()
}

// look is the brand in the words of pages.
func (b *Brand) look() screen.Brand {
	if b == nil {
		return screen.Brand{}
	}
	return screen.Brand{Name: b.Name, Logo: b.Logo, LogoDark: b.LogoDark, Accent: b.Accent, Pages: b.Pages, Support: b.Support}
}
