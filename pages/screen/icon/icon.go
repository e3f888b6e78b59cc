// Package icon makes a small PNG of the picture that a site is shown with.
//
//	content, err := icon.Of(file)
//
// A picture comes from a file that an operator has, and often from the web. It is
// decoded within bounds and encoded anew, so that nothing gets to a browser but
// its pixels: no text, no second picture, no bytes behind the end.
//
// It knows no file and no page. It has no state.
package icon

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

const (
	// Side is how wide and high a picture is at most: three times what is shown.
	Side = 128
	// maxSide bounds what is decoded: a file of a few KiB can ask for gigabytes.
	maxSide = 1024
)

// Of returns a PNG, at most Side wide and high, of a PNG or ICO picture.
func Of(content []byte) ([]byte, error) {
	decode := decodePNG
	switch {
	case bytes.HasPrefix(content, []byte(pngMagic)):
	case bytes.HasPrefix(content, []byte(icoMagic)):
		decode = decodeICO
	default:
		return nil, errors.New("the file is no PNG or ICO picture")
	}
	picture, err := decode(content)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, shrink(picture)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

const pngMagic = "\x89PNG\r\n\x1a\n"

func decodePNG(content []byte) (image.Image, error) {
	size, err := png.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("the PNG picture is broken: %w", err)
	}
	if size.Width > maxSide || size.Height > maxSide {
		return nil, fmt.Errorf("the picture has %d by %d pixels; it may have %d by %[3]d", size.Width, size.Height, maxSide)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("the PNG picture is broken: %w", err)
	}
	return picture, nil
}

// shrink returns a picture that fits into Side, each pixel the mean of those that
// it stands for.
func shrink(in image.Image) image.Image {
	box := in.Bounds()
	long := max(box.Dx(), box.Dy())
	if long <= Side {
		out := image.NewNRGBA(image.Rect(0, 0, box.Dx(), box.Dy()))
		for y := range box.Dy() {
			for x := range box.Dx() {
				out.Set(x, y, in.At(box.Min.X+x, box.Min.Y+y))
			}
		}
		return out
	}
	out := image.NewNRGBA(image.Rect(0, 0, max(box.Dx()*Side/long, 1), max(box.Dy()*Side/long, 1)))
	across, down := spans(box.Dx(), out.Rect.Dx()), spans(box.Dy(), out.Rect.Dy())
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Set(x, y, mean(in, across[x], down[y]))
		}
	}
	return out
}

// span is a part of a row or column of pixels; its ends may lie within one.
type span struct{ from, to float64 }

func spans(from, to int) []span {
	step := float64(from) / float64(to)
	all := make([]span, to)
	for i := range all {
		all[i] = span{float64(i) * step, min(float64(i+1)*step, float64(from))}
	}
	return all
}

// share is how much of pixel i lies in s.
func (s span) share(i int) float64 { return min(s.to, float64(i+1)) - max(s.from, float64(i)) }

// mean is the colour of a part of a picture.
func mean(in image.Image, across, down span) color.Color {
	var r, g, b, a, all float64
	corner := in.Bounds().Min
	for y := int(down.from); float64(y) < down.to; y++ {
		for x := int(across.from); float64(x) < across.to; x++ {
			share := across.share(x) * down.share(y)
			pr, pg, pb, pa := in.At(corner.X+x, corner.Y+y).RGBA() // premultiplied: what can't be seen colours nothing
			r, g, b, a, all = r+share*float64(pr), g+share*float64(pg), b+share*float64(pb), a+share*float64(pa), all+share
		}
	}
	part := func(sum float64) uint16 { return uint16(sum/all + .5) }
	return color.RGBA64{R: part(r), G: part(g), B: part(b), A: part(a)}
}
