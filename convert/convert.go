package convert

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gatehouse-auth/gatehouse/authcore/address"
	"github.com/gatehouse-auth/gatehouse/authcore/policy"
)

// Source is what is converted, and what its owner says beside it.
type Source struct {
	Name string // what notes call the file
	Text []byte
	// Read reads a file that the source names: Authelia's users, a list of
	// addresses. What can't be read is closed.
	Read func(path string) ([]byte, error)
	// Users is the path of Authelia's users, empty for the one that it names.
	Users string
	// Everybody is who stands for all people that the source knows, where it
	// leaves them to somebody else (a directory, an OpenID provider).
	Everybody []string
	// OneFactor says that an email is enough where the source asks for two factors.
	OneFactor bool
	// Host is where the app is that oauth2-proxy stands before, empty for the host of its redirect_url.
	Host string
}

// Result is what became of a Source.
type Result struct {
	Caddyfile string
	Notes     []Note // what could not be carried, by line
}

// Note is a line of the source that could not be carried.
type Note struct {
	File  string
	Line  int
	Words string // the key and, where that is no secret, its value
	Why   string // what that means here, and what to do
}

func (n Note) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", n.File, n.Line, n.Words, n.Why)
}

// Formats are the configurations that can be converted, by the name of the program.
var Formats = map[string]func(Source) (Result, error){"authelia": authelia, "oauth2-proxy": oauth2Proxy}

// Nobody is who stands where nobody is admitted yet: no mail reaches a name below invalid.
const Nobody = "nobody@closed.invalid"

// draft collects both parts of a Result.
type draft struct {
	Source
	body  strings.Builder
	deep  int
	notes []Note
	asked bool // for Everybody
}

// people are those who stand for everybody that somebody else knows.
func (d *draft) people() []string {
	d.asked = true
	return d.Everybody
}

func (d *draft) result() Result {
	if len(d.Everybody) > 0 && !d.asked {
		d.notes = append(d.notes, Note{d.Name, 1, "--people", "it stands for everybody that a directory or provider knows, and nothing here admits these: it is not used"})
	}
	slices.SortFunc(d.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, cmp.Compare(a.String(), b.String()))
	})
	return Result{d.body.String(), slices.Compact(d.notes)}
}

// note names a key that could not be carried.
func (d *draft) note(t *tree, why string, args ...any) {
	d.notes = append(d.notes, Note{t.file, t.line, t.words(), fmt.Sprintf(why, args...)})
}

// line writes one line of the Caddyfile: words that have been checked.
func (d *draft) line(words ...string) {
	if len(words) > 0 {
		fmt.Fprintf(&d.body, "%s%s", strings.Repeat("\t", d.deep), strings.Join(words, " "))
	}
	d.body.WriteByte('\n')
}

func (d *draft) block(inside func(), words ...string) {
	before := d.body.Len()
	d.line(append(words, "{")...)
	d.deep++
	opened := d.body.Len()
	inside()
	d.deep--
	if d.body.Len() > opened {
		d.line("}")
		return
	}
	text := d.body.String()[:before] // nothing stands in it
	d.body = strings.Builder{}
	d.body.WriteString(text)
	d.line(words...)
}

// maybe writes a line that has an argument only.
func (d *draft) maybe(word string, args ...string) {
	if len(args) > 0 && args[0] != "" {
		d.line(append([]string{word}, args...)...)
	}
}

func (d *draft) comment(text string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(text, args...)) {
		d.line("#", strings.TrimSpace(line))
	}
}

// asComment writes lines that wait for something, each as a comment.
func (d *draft) asComment(inside func()) {
	whole := d.body
	d.body = strings.Builder{}
	inside()
	waiting := d.body.String()
	d.body = strings.Builder{}
	d.body.WriteString(whole.String())
	margin := strings.Repeat("\t", d.deep)
	for line := range strings.Lines(waiting) {
		d.body.WriteString(margin + "# " + strings.ReplaceAll(strings.TrimPrefix(line, margin), "\t", "    "))
	}
}

// plain tells whether a value can stand in a Caddyfile as it is, in quotes if it
// has a space: nothing that Caddy or Gatehouse would fill in, and no control.
func plain(s string) bool {
	return s != "" && len(s) <= 512 && !strings.ContainsAny(s, "{}\"`\\#") && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || !unicode.IsPrint(r) }) && strings.TrimSpace(s) == s
}

func quoted(s string) string {
	if strings.ContainsAny(s, " ") {
		return strconv.Quote(s)
	}
	return s
}

// groups names groups of the source in the letters that names of groups have here.
type groups struct {
	names map[string]string // of the source's subjects to ours
	taken map[string]bool
}

func newGroups() *groups { return &groups{map[string]string{}, map[string]bool{everybody: true}} }

// everybody is the group of all people of the source, whatever groups it has.
const everybody = "everybody"

// name is our group for a subject of the source: group:dev, user:john.
func (g *groups) name(subject string) string {
	if name, ok := g.names[subject]; ok {
		return name
	}
	base := strings.Map(func(r rune) rune {
		if policy.IsGroupName(string(r)) {
			return r
		}
		return '-'
	}, strings.TrimPrefix(subject, "group:"))
	switch {
	case strings.Trim(base, "-") == "":
		base = "group"
	case !policy.IsGroupName(base):
		base = "group-" + base
	}
	name := base
	for n := 2; g.taken[name]; n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	g.names[subject], g.taken[name] = name, true
	return name
}

// isAddress tells whether s is the address of one person that can stand in a
// Caddyfile or a list as it is: *@example.com is one of all of a domain there.
func isAddress(s string) bool {
	_, err := address.Parse(s)
	return err == nil && plain(s) && !strings.HasPrefix(s, "*@")
}

// webOrigin reads a URL of which only scheme and host matter here.
func webOrigin(text string) (u *url.URL, ok bool) {
	u, err := url.Parse(text)
	return u, err == nil && plain(text) && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && IsHost(u.Hostname())
}

// IsHost tells whether s can be the host name of a site.
func IsHost(s string) bool {
	return s != "" && len(s) < 254 && strings.Trim(s, ".") == s && !strings.Contains(s, "..") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
}

// life reads how long a session lasts there, within what is possible here.
func (d *draft) life(at *tree, text string) time.Duration {
	const least, most = 5 * time.Minute, 30 * 24 * time.Hour
	read, err := duration(text)
	if err != nil {
		read = 0
	}
	if read < least || read > most {
		d.note(at, "a session lasts from %s to %s here, and does not end with the browser", written(least), written(most))
	}
	return min(max(read, least), most)
}
