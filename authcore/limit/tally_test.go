package limit

import (
	"slices"
	"testing"
)

func TestTallyInTheStore(t *testing.T) {
	for _, want := range []tally{nil, {{1795306913940, 1}}, {{1, 2}, {3, 4}, {5, 60000}}} {
		b := want.text()
		got := tally{{9, 9}} // what a counter held before
		if err := got.parse(b); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is read as %v, %v", b, got, err)
		}
	}
	got := tally{}
	if err := got.parse([]byte("[1, 2,\n3, 4]")); err != nil || !slices.Equal(got, tally{{1, 2}, {4, 4}}) {
		t.Errorf("with spaces: %v, %v", got, err)
	}
	for _, bad := range []string{`[1]`, `[1,2,3]`, `[1,"2"]`, `[{"t":1,"n":2}]`, `{}`, `[1.5,2]`, `[1 2,3]`, `[1,]`, `[,1]`, `[-1,2]`, `[9999999999999999999,1]`} {
		if err := got.parse([]byte(bad)); err == nil {
			t.Errorf("%s is a tally", bad)
		}
	}
}
