package convert

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// tree is a key of the source with what is below it.
type tree struct {
	file string
	line int
	path string // dotted, as in access_control.rules.2.policy
	text string // of a scalar
	list bool
	kids []*tree
	name string // the last part of path
	read bool   // somebody asked for it
	none bool   // not in the source
}

// spoken are the keys whose values notes may repeat: they say who may go where, and hold no secret.
var spoken = map[string]bool{
	"policy": true, "domain": true, "domain_regex": true, "subject": true, "resources": true, "methods": true, "networks": true,
	"default_policy": true, "authorization_policy": true, "provider": true, "email_domains": true, "skip_auth_routes": true, "skip_auth_regex": true,
	"trusted_ips": true, "whitelist_domains": true, "cookie_domains": true, "allowed_groups": true, "allowed_roles": true, "cookie_expire": true,
	"inactivity": true, "expiration": true, "remember_me": true, "authelia_url": true, "path": true, "implementation": true,
}

// words is the key as the source writes it and, where that is no secret, its value.
func (t *tree) words() string {
	if value := strings.Join(t.all(), ", "); spoken[t.spokenName()] && plain(value) && len(value) <= 120 {
		return t.path + ": " + value
	}
	return t.path
}

// spokenName is the key that a part of a list stands under.
func (t *tree) spokenName() string {
	parts := strings.Split(t.path, ".")
	for i := len(parts) - 1; i > 0; i-- {
		if _, err := strconv.Atoi(parts[i]); err != nil {
			return parts[i]
		}
	}
	return parts[0]
}

const (
	mostKeys = 20_000 // with what aliases stand for
	deepest  = 50
	tooLarge = "it has more keys than any configuration, or an alias within itself"
)

// readYAML reads a document. Duplicate keys are an error, as for whoever made it.
func readYAML(file string, text []byte) (*tree, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		line := "1" // what else the error says may be a secret
		if m := lineNumber.FindStringSubmatch(err.Error()); m != nil {
			line = m[1]
		}
		return nil, fmt.Errorf("%s:%s: from here on it is no YAML", file, line)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: it is no YAML document with keys", file)
	}
	n := 0
	root := &tree{file: file, line: 1}
	if err := root.fill(doc.Content[0], 0, &n); err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return root, nil
}

var (
	lineNumber = regexp.MustCompile(`line (\d+)`)
	keyName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
)

func (t *tree) fill(node *yaml.Node, deep int, n *int) error {
	for ; node.Kind == yaml.AliasNode; node = node.Alias {
		if deep++; deep > deepest {
			return fmt.Errorf("%d: %s", node.Line, tooLarge)
		}
	}
	if *n++; *n > mostKeys || deep > deepest {
		return fmt.Errorf("%d: %s", node.Line, tooLarge)
	}
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag != "!!null" {
			t.text = node.Value
		}
	case yaml.SequenceNode:
		t.list = true
		for i, item := range node.Content {
			if err := t.add(strconv.Itoa(i+1), item.Line).fill(item, deep+1, n); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if key.Tag == "!!merge" {
				return fmt.Errorf("%d: a merge key (<<) is not read: write out what it brings", key.Line)
			}
			if !t.at(key.Value).none {
				return fmt.Errorf("%d: %s is written twice", key.Line, nameOf(key.Value))
			}
			if err := t.add(key.Value, key.Line).fill(value, deep+1, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameOf is a key as errors say it: one that looks like none could be a value.
func nameOf(key string) string {
	if keyName.MatchString(key) {
		return key
	}
	return "a key"
}

func (t *tree) add(name string, line int) *tree {
	kid := &tree{file: t.file, line: line, name: name, path: strings.TrimPrefix(t.path+"."+nameOf(name), ".")}
	t.kids = append(t.kids, kid)
	return kid
}

// at is what stands below t by these keys, or something empty.
func (t *tree) at(names ...string) *tree {
	for _, name := range names {
		i := slices.IndexFunc(t.kids, func(k *tree) bool { return k.name == name })
		if i < 0 {
			return &tree{file: t.file, line: t.line, path: strings.TrimPrefix(t.path+"."+name, "."), none: true}
		}
		t = t.kids[i]
	}
	return t
}

// one is the value of a scalar, empty for everything else.
func (t *tree) one() string {
	t.read = true
	return t.text
}

// all are the values of a list, or the one that stands in the place of one.
func (t *tree) all() (values []string) {
	if len(t.kids) == 0 && t.text != "" {
		return []string{t.text}
	}
	for _, kid := range t.kids {
		if len(kid.kids) == 0 {
			values = append(values, kid.text) // an empty text is one, too: as an expression it matches everything
		} else {
			values = append(values, kid.all()...)
		}
	}
	return values
}

// take is all, and done with them.
func (t *tree) take() []string {
	t.done()
	return t.all()
}

// isTrue: yes and on are true to whoever reads the source.
func (t *tree) isTrue() bool {
	return !slices.Contains([]string{"", "false", "no", "off", "n"}, strings.ToLower(t.one()))
}

// items are the parts of a list.
func (t *tree) items() []*tree {
	if t.list || t.none {
		return t.kids
	}
	return []*tree{t}
}

// done says that nothing below t needs a word more.
func (t *tree) done() {
	t.read = true
	for _, kid := range t.kids {
		kid.done()
	}
}

// leftOver notes every value below t that nobody read: a list of words as one.
func (t *tree) leftOver(d *draft) {
	branches := slices.ContainsFunc(t.kids, func(k *tree) bool { return len(k.kids) > 0 })
	if len(t.kids) == 0 || t.list && !branches {
		if !t.read && len(t.all()) > 0 {
			d.note(t, "this is not known here; see whether anything rests on it")
		}
		return
	}
	for _, kid := range t.kids {
		kid.leftOver(d)
	}
}

var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "second": time.Second, "m": time.Minute, "minute": time.Minute, "h": time.Hour, "hour": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour,
	"M": 30 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "y": 365 * 24 * time.Hour, "year": 365 * 24 * time.Hour,
}

var amount = regexp.MustCompile(`^\s*(\d{1,9})\s*([A-Za-z]+)\s*(?:and\s)?\s*`)

// duration reads 90, 1h30m, 2d 4h, 5 minutes, 1M.
func duration(text string) (sum time.Duration, err error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, nil
	}
	rest := text
	for rest != "" {
		m := amount.FindStringSubmatch(rest)
		if m == nil {
			return 0, errors.New("no duration")
		}
		unit, ok := units[m[2]]
		if !ok {
			unit, ok = units[strings.TrimSuffix(strings.ToLower(m[2]), "s")]
		}
		n, _ := strconv.Atoi(m[1])
		if !ok || time.Duration(n) > 100*365*24*time.Hour/unit {
			return 0, errors.New("no duration")
		}
		sum, rest = sum+time.Duration(n)*unit, rest[len(m[0]):]
	}
	return sum, nil
}

// written is a duration as a Caddyfile has it.
func written(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if cut, ok := strings.CutSuffix(s, zero); ok {
			s = cut + zero[:1]
		}
	}
	return s
}
