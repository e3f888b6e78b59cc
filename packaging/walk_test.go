package main

import (
	"archive/tar"
	"errors"
	"io"
	"testing"
)

func walk(t *testing.T, from io.Reader, see func(string, held)) {
	t.Helper()
	for r := tar.NewReader(from); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		if h.Typeflag == tar.TypeReg {
			if data, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		see(h.Name, held{data, h.Mode, h.Uid})
	}
}
