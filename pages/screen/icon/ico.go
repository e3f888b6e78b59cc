package icon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
)

// An ICO file is a list of pictures, each a PNG or a bitmap of Windows (DIB): a
// header of 40 bytes, a palette up to 8 bits, the rows of colours from the bottom
// up, and the rows of a mask of one bit, 1 for what can't be seen. Rows end at a
// multiple of 4 bytes.

const icoMagic = "\x00\x00\x01\x00"

var errBroken = errors.New("the ICO picture is broken")

// decodeICO decodes the largest picture of an ICO file; of those the one with the
// most colours.
func decodeICO(content []byte) (image.Image, error) {
	if len(content) < 6 {
		return nil, errBroken
	}
	var best, most int
	var picture []byte
	for i := range int(binary.LittleEndian.Uint16(content[4:])) {
		at := 6 + 16*i
		if at+16 > len(content) {
			return nil, errBroken
		}
		entry := content[at : at+16]
		side := int(entry[0])
		if side == 0 {
			side = 256
		}
		bits := int(binary.LittleEndian.Uint16(entry[6:]))
		size, offset := uint64(binary.LittleEndian.Uint32(entry[8:])), uint64(binary.LittleEndian.Uint32(entry[12:]))
		if offset+size > uint64(len(content)) {
			return nil, errBroken
		}
		if side > best || side == best && bits > most {
			best, most, picture = side, bits, content[offset:offset+size]
		}
	}
	if bytes.HasPrefix(picture, []byte(pngMagic)) {
		return decodePNG(picture)
	}
	return decodeDIB(picture)
}

// dib is a bitmap of Windows.
type dib struct {
	width, height, bits int
	palette             []color.NRGBA
	colours, mask       []byte
}

func decodeDIB(content []byte) (image.Image, error) {
	d, err := parseDIB(content)
	if err != nil {
		return nil, err
	}
	out := image.NewNRGBA(image.Rect(0, 0, d.width, d.height))
	opaque := d.bits == 32 && d.isOpaque()
	for y := range d.height {
		for x := range d.width {
			c, ok := d.at(x, d.height-1-y)
			if !ok {
				return nil, errBroken
			}
			if opaque || d.bits != 32 {
				c.A = 255 - d.masked(x, d.height-1-y)
			}
			out.SetNRGBA(x, y, c)
		}
	}
	return out, nil
}

func parseDIB(content []byte) (*dib, error) {
	if len(content) < 40 {
		return nil, errBroken
	}
	field := func(at int) int { return int(int32(binary.LittleEndian.Uint32(content[at:]))) }
	head, packing, used := field(0), field(16), field(32)
	d := &dib{width: field(4), height: field(8) / 2, bits: int(binary.LittleEndian.Uint16(content[14:]))}
	if head < 40 || head > len(content) || d.width < 1 || d.height < 1 || d.width > 256 || d.height > 256 {
		return nil, errBroken
	}
	if packing != 0 {
		return nil, errors.New("the ICO picture is packed in a way that is read nowhere; save it as PNG")
	}
	rest := content[head:]
	switch d.bits {
	case 1, 4, 8:
		if used == 0 {
			used = 1 << d.bits
		}
		if used < 0 || used > 1<<d.bits || 4*used > len(rest) {
			return nil, errBroken
		}
		for i := range used {
			d.palette = append(d.palette, color.NRGBA{R: rest[4*i+2], G: rest[4*i+1], B: rest[4*i], A: 255})
		}
		rest = rest[4*used:]
	case 24, 32:
	default:
		return nil, errBroken
	}
	size := rowSize(d.width, d.bits) * d.height
	if size > len(rest) {
		return nil, errBroken
	}
	d.colours, d.mask = rest[:size], rest[size:]
	if len(d.mask) < rowSize(d.width, 1)*d.height {
		d.mask = nil // left out where there is an alpha channel
	}
	return d, nil
}

func rowSize(width, bits int) int { return (width*bits + 31) / 32 * 4 }

// at is the colour of a pixel, counted from the bottom; not ok: the palette lacks
// it.
func (d *dib) at(x, y int) (c color.NRGBA, ok bool) {
	row := d.colours[y*rowSize(d.width, d.bits):]
	if d.bits >= 24 {
		p := row[x*d.bits/8:]
		c = color.NRGBA{R: p[2], G: p[1], B: p[0]}
		if d.bits == 32 {
			c.A = p[3]
		}
		return c, true
	}
	bit := x * d.bits
	i := int(row[bit/8]>>(8-d.bits-bit%8)) & (1<<d.bits - 1)
	if i >= len(d.palette) {
		return c, false
	}
	return d.palette[i], true
}

// masked is 255 for a pixel that can't be seen, else 0.
func (d *dib) masked(x, y int) uint8 {
	if d.mask == nil || d.mask[y*rowSize(d.width, 1)+x/8]>>(7-x%8)&1 == 0 {
		return 0
	}
	return 255
}

// isOpaque tells whether the alpha channel is empty, as programs leave it that know
// the mask alone.
func (d *dib) isOpaque() bool {
	for i := 3; i < len(d.colours); i += 4 {
		if d.colours[i] != 0 {
			return false
		}
	}
	return true
}
