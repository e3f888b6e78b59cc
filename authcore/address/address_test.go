package address

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/internal/ascii"
)

func TestParseAddress(t *testing.T) {
	local64 := strings.Repeat("l", 64)
	domain189 := strings.Repeat(strings.Repeat("d", 46)+".", 4) + "e" // 4*47+1
	for in, want := range map[string]string{
		"alice@example.test":                  "alice@example.test",
		"  alice@example.test ":               "alice@example.test",
		"Alice@EXAMPLE.Test":                  "alice@example.test",
		"I@EXAMPLE.test":                      "i@example.test",
		"alice+1@example.test":                "alice+1@example.test",
		"a.lice@example.test":                 "a.lice@example.test",
		"o'brien@example.test":                "o'brien@example.test",
		"a#b@example.test":                    "a#b@example.test",
		"{env.JWT_SECRET}@example.test":       "{env.jwt_secret}@example.test",
		"a-@example.test":                     "a-@example.test",
		"a@xn--bcher-kva.test":                "a@xn--bcher-kva.test",
		"a@XN--BCHER-KVA.test":                "a@xn--bcher-kva.test",
		"a@bücher.test":                       "a@xn--bcher-kva.test",
		"a@Bücher.TEST":                       "a@xn--bcher-kva.test",
		"a@faß.test":                          "a@xn--fa-hia.test",
		"a@xn--xample-2of.test":               "a@xn--xample-2of.test", // looks like another domain, and is its own
		"a@1.example":                         "a@1.example",
		local64 + "@example.test":             local64 + "@example.test",
		local64 + "@" + domain189:             local64 + "@" + domain189, // 254 bytes
		"a@" + strings.Repeat("d", 63) + ".e": "a@" + strings.Repeat("d", 63) + ".e",
	} {
		if got, err := Parse(in); err != nil || got.String() != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for name, inputs := range map[string][]string{
		"nothing": {"", " ", "@", "alice", "alice@", "@example.test", "alice@example", "a@localhost"},
		"lists": {"alice@example.test,mallory@evil.test", "alice@example.test;mallory@evil.test",
			"alice@example.test mallory@evil.test", "g: alice@example.test;", `["a@x.test","b@x.test"]`},
		"a quoted @":        {`"mallory@evil.test"@example.test`, `"a b"@example.test`, `"a"@example.test`},
		"two @":             {"mallory@evil.test@example.test", "alice@example.test@evil.test", "a@@example.test"},
		"Unicode @ and dot": {"mallory＠evil.test@example.test", "a＠example.test", "a@example。test", "a@example․test", "a@example．test"},
		"invisible": {"a\u200b@example.test", "a@exam\u200bple.test", "a@exam\u00adple.test", "a\u202e@example.test",
			"a@\u202eexample.test", "\ufeffa@example.test", "a@example.test\u00a0"},
		"other letters":   {"mıke@example.test", "mi\u212ae@example.test", "a@e\u212aample.test", "straße@example.test", "a@ｅxample.test", "ſ@example.test"},
		"not a U-label":   {"a@BÜCHER.test", "a@bu\u0308cher.test", "a@xn--bcher-kva.bücher.test"},
		"bad A-labels":    {"a@xn--example-.test", "a@xn--.test", "a@xn--a.test", "a@xn--bücher.test", "a@xn--BÜCHER.test"},
		"control bytes":   {"alice@example.test\r\nBcc: m@evil.test", "alice@example.test\n", "\talice@example.test", "alice@example.test\r", "a\x00@example.test", "a@example.test\x00", "a@example.test\u0085", "a\x7f@example.test", "alice@example.test\nRCPT TO:<m@evil.test>"},
		"an option":       {"-oQ/tmp@example.test", "-@example.test"},
		"more than addr":  {"alice@example.test(x)", "(x)alice@example.test", "Alice <alice@example.test>", "<alice@example.test>", "<@evil.test:a@example.test>", "mailto:a@example.test"},
		"IP literals":     {"a@[127.0.0.1]", "a@127.0.0.1", "a@[IPv6:::1]", "a@127.1", "a@0x7f.0x1", "a@1.2"},
		"dots":            {".a@example.test", "a.@example.test", "a..b@example.test", ".@example.test", "a@.example.test", "a@example..test", "a@example.test.", "a@."},
		"bad labels":      {"a@-x.test", "a@x-.test", "a@x_y.test", "a@x y.test", "a@x/y.test", "a@x%.test", "a@exa!mple.test"},
		"invalid UTF-8":   {"a\xff@example.test", "a@b\xffcher.test", "\xc0\x80@example.test"},
		"percent-encoded": {"alice@example.test%0d%0a", "alice%40evil.test"},
		"too long": {strings.Repeat("l", 65) + "@example.test", "a@" + strings.Repeat("d", 64) + ".test",
			"a@" + strings.Repeat("d.", 127) + "test", strings.Repeat("l", 64) + "@" + strings.Repeat(strings.Repeat("d", 46)+".", 4) + "ee", strings.Repeat("l", 64) + "@" + strings.Repeat("d.", 95)},
	} {
		for _, in := range inputs {
			if got, err := Parse(in); err == nil {
				t.Errorf("%s: ParseAddress(%q) = %q; want an error", name, in, got)
			} else if strings.Contains(err.Error(), "evil") {
				t.Errorf("%s: the error repeats the input: %v", name, err)
			}
		}
	}
}

// A megabyte of anything is answered from its length alone.
func TestParseAddressHuge(t *testing.T) {
	for _, unit := range []string{"a", "@", ".", "(", "\"", "ü", "xn--", "a@b.", "\\"} {
		in := "a@" + strings.Repeat(unit, 1<<20/len(unit))
		allocs := testing.AllocsPerRun(1, func() {
			if _, err := Parse(in); err != errAddressLong {
				t.Errorf("a megabyte of %q: %v", unit, err)
			}
		})
		if allocs > 0 {
			t.Errorf("a megabyte of %q costs %v allocations", unit, allocs)
		}
	}
}

func TestAddressForms(t *testing.T) {
	a, err := Parse("Alice@Bücher.example.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"String", a.String(), "alice@xn--bcher-kva.example.test"},
		{"Display", a.Display(), "alice@bücher.example.test"},
		{"Local", a.Local(), "alice"},
		{"Domain", a.Domain(), "xn--bcher-kva.example.test"},
		{"Masked", a.Masked(), "a***@x***.test"},
		{"zero String", Address{}.String(), ""},
		{"zero Display", Address{}.Display(), ""},
		{"zero Masked", Address{}.Masked(), ""},
		{"zero Domain", Address{}.Domain(), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	if a.IsZero() || !(Address{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestAddressInLogsIsMasked(t *testing.T) {
	a, _ := Parse("alice@example.test")
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "address", a)
	if got := out.String(); strings.Contains(got, "alice") || !strings.Contains(got, "a***@e***.test") {
		t.Errorf("logged %s", got)
	}
}

func TestAddressAsText(t *testing.T) {
	type record struct{ A, B Address }
	a, _ := Parse("alice@example.test")
	stored, err := json.Marshal(record{A: a})
	if err != nil {
		t.Fatal(err)
	}
	var back record
	if err := json.Unmarshal(stored, &back); err != nil || back != (record{A: a}) {
		t.Errorf("%s became %+v, %v", stored, back, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"alice@example.test,m@evil.test"}`), &back); err == nil {
		t.Error("a list was read as an address")
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"alice@example.test", "a@bücher.test", "a@faß.de", "a@xn--fa-hia.de", " A@B.C ", "a@1.2",
		"a@नेपाल.test", "a@بيت.test", "a@xn--0.test", "!#$%&'*+-/=?^_`{|}~@x.test", "a@b\u0338.test"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := Parse(in)
		if err != nil {
			if !a.IsZero() {
				t.Fatalf("%q: an error and the address %q", in, a)
			}
			return
		}
		s := a.String()
		if !ascii.Valid(s) || strings.Count(s, "@") != 1 || strings.ContainsFunc(s, ascii.IsControl) || strings.ContainsAny(s, " \"(),:;<>[\\]") {
			t.Fatalf("%q became %q", in, s)
		}
		if len(s) > 254 || len(a.Local()) > 64 || s != ascii.Lower(s) || s[0] == '-' || a.Local()+"@"+a.Domain() != s {
			t.Fatalf("%q became %q", in, s)
		}
		if again, err := Parse(s); err != nil || again != a {
			t.Fatalf("%q became %q, which became %q, %v", in, s, again, err)
		}
		if shown, err := Parse(a.Display()); err != nil || shown != a {
			t.Fatalf("%q is shown as %q, which became %q, %v", in, a.Display(), shown, err)
		}
		if len(a.Masked()) > 73 {
			t.Fatalf("%q is masked as %q", s, a.Masked())
		}
	})
}

func TestTold(t *testing.T) {
	for text, want := range map[string]string{
		"a@example.com":                        "a@example.com",
		"a@bücher.de":                          "a@bücher.de",
		"a@ex\u0430mple.com":                   "a@ex\u0430mple.com (xn--exmple-4nf.com)",
		"a@\u0430\u0440\u0440\u04cf\u0435.com": "a@\u0430\u0440\u0440\u04cf\u0435.com (xn--80ak6aa92e.com)",
		"a@пример.рф":                          "a@пример.рф",
		"a@日本語.jp":                             "a@日本語.jp",
	} {
		a, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := a.Told(); got != want {
			t.Errorf("%s is shown as %q, want %q", text, got, want)
		}
	}
}
