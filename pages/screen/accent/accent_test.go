package accent

import (
	"strings"
	"testing"
)

func TestAccentsCanBeRead(t *testing.T) {
	for _, s := range []string{"#000000", "#1d4ed8", "#b3261e", "#00f", "#006400", "#767600"} {
		light, dark, err := Of(s)
		if err != nil {
			continue
		}
		if light.worst(lightBackgrounds) < minContrast || dark.worst(darkBackgrounds) < minContrast {
			t.Errorf("%s: light %s, dark %s", s, light, dark)
		}
	}
	if _, _, err := Of("#ffd400"); err != nil {
		near := err.Error()[strings.LastIndex(err.Error(), ": #")+2:][:7]
		if _, _, err := Of(near); err != nil {
			t.Errorf("the colour that the error proposes is wrong too: %v", err)
		}
	}
}
