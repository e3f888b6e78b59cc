package screen

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // so that image.DecodeConfig knows it
	_ "image/png"  // so that image.DecodeConfig knows it
	"io"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/internal/files"
)

// maxPicture bounds the file of a logo or icon: every visitor loads the former.
const maxPicture = 256 << 10

// logo is a picture, ready to be served.
type logo struct {
	StaticFile
	extension string
}

// readLogo reads a logo and makes sure that it is one.
func readLogo(file string) (*logo, error) {
	content, err := readPicture(file)
	if err != nil {
		return nil, err
	}
	return parseLogo(content)
}

func readPicture(file string) ([]byte, error) { return files.Read(file, maxPicture) }

func newLogo(format, extension string, content []byte) *logo {
	return &logo{newFile("image/"+format, content), extension}
}

// parseLogo goes by the content: a name says nothing about what a browser will
// make of a file.
func parseLogo(content []byte) (*logo, error) {
	if _, format, err := image.DecodeConfig(bytes.NewReader(content)); err == nil {
		return newLogo(format, format, content), nil
	}
	if len(content) > 16 && string(content[:4]) == "RIFF" && string(content[8:12]) == "WEBP" {
		return newLogo("webp", "webp", content), nil
	}
	if bytes.Contains(content, []byte("<svg")) {
		if err := checkSVG(content); err != nil {
			return nil, fmt.Errorf("the SVG picture %w", err)
		}
		return newLogo("svg+xml", "svg", content), nil
	}
	return nil, errors.New("the file is no PNG, JPEG, WebP or SVG picture")
}

// drawing is what an SVG picture may consist of. What is not on the list could
// run a script, load something or hold HTML.
var drawing = strings.Fields(`svg g defs symbol use title desc metadata path rect circle ellipse line polyline polygon
	text tspan textPath linearGradient radialGradient stop clipPath mask pattern marker style
	filter feBlend feColorMatrix feComposite feFlood feGaussianBlur feMerge feMergeNode feOffset feDropShadow`)

// checkSVG refuses pictures with anything active in them. Browsers run nothing
// in a picture on a page, but they do when it is opened by itself.
func checkSVG(content []byte) error {
	d := xml.NewDecoder(bytes.NewReader(content))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("is broken: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("has a DOCTYPE or an entity; remove it")
		case xml.ProcInst:
			if t.Target != "xml" {
				return fmt.Errorf("has an instruction <?%s?>; remove it", t.Target)
			}
		case xml.CharData:
			if loads(string(t)) {
				return errors.New("loads something from elsewhere (url or @import); make it whole")
			}
		case xml.StartElement:
			if err := checkElement(t); err != nil {
				return err
			}
		}
	}
}

func checkElement(e xml.StartElement) error {
	// Tools leave elements in namespaces of their own; no browser draws them.
	if svg := e.Name.Space == "" || e.Name.Space == "http://www.w3.org/2000/svg"; svg && !slices.Contains(drawing, e.Name.Local) {
		return fmt.Errorf("has a <%s> element; a logo may only draw", e.Name.Local)
	}
	if e.Name.Space == "http://www.w3.org/1999/xhtml" {
		return errors.New("holds HTML; a logo may only draw")
	}
	for _, a := range e.Attr {
		name := strings.ToLower(a.Name.Local)
		switch {
		case strings.HasPrefix(name, "on"):
			return fmt.Errorf("has a script in %s; remove it", a.Name.Local)
		case name == "href" && !strings.HasPrefix(a.Value, "#"):
			return errors.New("refers to something elsewhere (href); make it whole")
		case a.Name.Space != "xmlns" && name != "xmlns" && loads(a.Value):
			return fmt.Errorf("loads something from elsewhere (%s); make it whole", a.Name.Local)
		}
	}
	return nil
}

// loads tells whether a style refers to anything but a part of the same file.
func loads(style string) bool {
	lower := strings.ToLower(style)
	for rest, found := lower, true; found; {
		if _, rest, found = strings.Cut(rest, "url("); found && !strings.HasPrefix(strings.TrimLeft(rest, ` "'`), "#") {
			return true
		}
	}
	return strings.Contains(lower, "@import") || strings.Contains(lower, "javascript:") || strings.Contains(lower, `\`)
}
