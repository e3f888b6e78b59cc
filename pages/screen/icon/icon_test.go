package icon_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/pages/screen/icon"
)

func pngOf(t testing.TB, picture image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// halves is red on the left and, on the right, green that can't be seen.
func halves(width, height int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{R: 255, A: 255}
			if x >= width/2 {
				c = color.NRGBA{G: 255}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

// ico makes an ICO file of pictures with these sides.
func ico(sides []int, pictures ...[]byte) []byte {
	out := binary.LittleEndian.AppendUint16([]byte{0, 0, 1, 0}, uint16(len(pictures)))
	at := len(out) + 16*len(pictures)
	for i, p := range pictures {
		out = append(out, byte(sides[i]), byte(sides[i]), 0, 0, 1, 0, 32, 0)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(p)))
		out = binary.LittleEndian.AppendUint32(out, uint32(at))
		at += len(p)
	}
	return append(out, bytes.Join(pictures, nil)...)
}

// dib makes a bitmap of two by two pixels: rows and masks from the bottom up.
func dib(bits int, rest ...byte) []byte {
	head := make([]byte, 40)
	for at, n := range map[int]int{0: 40, 4: 2, 8: 4, 14: bits} {
		binary.LittleEndian.PutUint32(head[at:], uint32(n))
	}
	return append(head, rest...)
}

func read(t *testing.T, content []byte) image.Image {
	t.Helper()
	out, err := icon.Of(content)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds().Dx() > icon.Side || m.Bounds().Dy() > icon.Side {
		t.Errorf("the picture is %v", m.Bounds())
	}
	return m
}

func at(m image.Image, x, y int) color.NRGBA {
	return color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
}

// TestPicturesAreBounded: what is large is made small and keeps its shape and its
// colours; what can't be seen colours nothing.
func TestPicturesAreBounded(t *testing.T) {
	for _, c := range []struct{ width, height, wantWidth, wantHeight int }{
		{16, 16, 16, 16}, {128, 128, 128, 128}, {1024, 1024, 128, 128}, {300, 150, 128, 64}, {1, 1000, 1, 128}, {200, 200, 128, 128},
	} {
		m := read(t, pngOf(t, halves(c.width, c.height)))
		if m.Bounds() != image.Rect(0, 0, c.wantWidth, c.wantHeight) {
			t.Errorf("%d by %d became %v", c.width, c.height, m.Bounds())
		}
		if left := at(m, 0, 0); c.width > 1 && left != (color.NRGBA{R: 255, A: 255}) {
			t.Errorf("%d by %d: the left is %v", c.width, c.height, left)
		}
		if right := at(m, c.wantWidth-1, c.wantHeight-1); right.A != 0 {
			t.Errorf("%d by %d: the right is %v", c.width, c.height, right)
		}
		for x := range c.wantWidth {
			if p := at(m, x, 0); p.A > 0 && p.G > 0 {
				t.Errorf("%d by %d: what can't be seen colours pixel %d: %v", c.width, c.height, x, p)
			}
		}
	}
}

// TestOnlyPixelsAreLeft: nothing of a file gets to a browser but its picture.
func TestOnlyPixelsAreLeft(t *testing.T) {
	file := pngOf(t, halves(20, 20))
	polyglot := append(file, "<script>alert(1)</script><svg onload=alert(1)>"...)
	for _, content := range [][]byte{polyglot, ico([]int{20}, polyglot)} {
		out, err := icon.Of(content)
		if err != nil || bytes.Contains(out, []byte("script")) || bytes.Contains(out, []byte("svg")) || !bytes.HasPrefix(out, []byte("\x89PNG")) {
			t.Errorf("%q %v", out, err)
		}
	}
}

func TestICO(t *testing.T) {
	red, green, blue, white := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}, color.NRGBA{255, 255, 255, 255}
	none := color.NRGBA{}
	for name, c := range map[string]struct {
		file []byte
		want [4]color.NRGBA // the upper row, the lower row
	}{
		"32 bits with an alpha channel": {ico([]int{2}, dib(32,
			255, 0, 0, 255, 255, 255, 255, 255,
			0, 0, 255, 255, 0, 255, 0, 0)), [4]color.NRGBA{red, none, blue, white}},
		"32 bits with a mask alone": {ico([]int{2}, dib(32,
			255, 0, 0, 0, 255, 255, 255, 0,
			0, 0, 255, 0, 0, 255, 0, 0,
			0, 0, 0, 0, 0b0100_0000, 0, 0, 0)), [4]color.NRGBA{red, none, blue, white}},
		"24 bits": {ico([]int{2}, dib(24,
			255, 0, 0, 255, 255, 255, 0, 0,
			0, 0, 255, 0, 255, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 0, 0)), [4]color.NRGBA{red, green, blue, white}},
		"1 bit": {ico([]int{2}, dib(1, 0, 0, 255, 0, 255, 0, 0, 0,
			0b1000_0000, 0, 0, 0,
			0b0100_0000, 0, 0, 0,
			0, 0, 0, 0, 0b1000_0000, 0, 0, 0)), [4]color.NRGBA{none, blue, blue, red}},
		"the largest of several": {ico([]int{1, 2, 1}, []byte("never read"), dib(24,
			255, 0, 0, 255, 255, 255, 0, 0,
			0, 0, 255, 0, 255, 0, 0, 0,
			0, 0, 0, 0, 0, 0, 0, 0), []byte("nor this")), [4]color.NRGBA{red, green, blue, white}},
	} {
		m := read(t, c.file)
		for i, want := range c.want {
			if got := at(m, i%2, i/2); got != want && (want.A != 0 || got.A != 0) {
				t.Errorf("%s: pixel %d is %v, want %v", name, i, got, want)
			}
		}
	}
	if m := read(t, ico([]int{16, 0}, []byte("x"), pngOf(t, halves(256, 256)))); m.Bounds().Dx() != icon.Side {
		t.Errorf("of a PNG in an ICO file: %v", m.Bounds())
	}
}

// TestWhatIsNoPicture: a clear error for everything else, and never more memory
// than a picture of a thousand by a thousand pixels takes.
func TestWhatIsNoPicture(t *testing.T) {
	huge := pngOf(t, image.NewNRGBA(image.Rect(0, 0, 1, 1)))
	binary.BigEndian.PutUint32(huge[16:], 60_000) // its width; the checksum is wrong then, too
	wide := pngOf(t, image.NewGray(image.Rect(0, 0, 1025, 1)))
	packed := dib(32)
	packed[16] = 3
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"nothing":            {nil, "no PNG or ICO"},
		"an SVG":             {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "no PNG or ICO"},
		"a cursor":           {[]byte{0, 0, 2, 0, 1, 0}, "no PNG or ICO"},
		"a PNG's head":       {wide[:30], "broken"},
		"a cut PNG":          {pngOf(t, halves(40, 40))[:80], "broken"},
		"a PNG that lies":    {huge, "broken"},
		"too wide":           {wide, "1025 by 1 pixels; it may have 1024 by 1024"},
		"an empty ICO":       {ico(nil), "broken"},
		"an ICO's head":      {[]byte{0, 0, 1, 0, 9, 0}, "broken"},
		"a size beyond":      {append(ico([]int{2}, dib(32))[:14], 255, 255, 255, 255, 22, 0, 0, 0), "broken"},
		"no rows":            {ico([]int{2}, dib(32)), "broken"},
		"no palette":         {ico([]int{2}, dib(8, 1, 2, 3)), "broken"},
		"16 bits":            {ico([]int{2}, dib(16, make([]byte, 100)...)), "broken"},
		"packed":             {ico([]int{2}, packed), "save it as PNG"},
		"too wide in an ICO": {ico([]int{2}, wide), "1025 by 1"},
		"a colour of nowhere": {ico([]int{2}, func() []byte {
			d := dib(4, append([]byte{0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 40)...)...)
			d[32] = 1
			return d
		}()), "broken"},
	} {
		if _, err := icon.Of(c.content); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add(pngOf(f, halves(9, 9)))
	f.Add(ico([]int{2}, dib(32, make([]byte, 100)...)))
	f.Add(ico([]int{2}, dib(4, make([]byte, 100)...)))
	f.Add(ico([]int{9}, pngOf(f, halves(9, 9))))
	f.Fuzz(func(t *testing.T, content []byte) {
		out, err := icon.Of(content)
		if err != nil {
			return
		}
		size, err := png.DecodeConfig(bytes.NewReader(out))
		if err != nil || size.Width > icon.Side || size.Height > icon.Side || size.Width < 1 || size.Height < 1 {
			t.Errorf("%+v %v", size, err)
		}
	})
}
