package convert

// Authelia asks its rules in order, and the first that matches a request
// decides: by host, path, method, network and person. A site here has people,
// people who are denied, public paths and networks. What a rule says for a part
// of the requests has no place in a site, so that this is worked out instead:
//
//	who is let in whatever else a request says     site.allow
//	who may be refused, where people are unknown   site.deny
//	what everybody may see, whatever came before   site.public
//	where nobody is asked, whatever came before    site.trust
//
// whatever else: a rule for a part of the requests that refuses somebody takes
// the whole site away from that person; one that admits gives nothing.

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/policy"
	"github.com/gatehouse-auth/gatehouse/convert/paths"
)

type rule struct {
	at        *tree
	domains   []string
	regexes   []*regexp.Regexp
	subjects  [][]string // one of these, all of it
	resources []string
	networks  []netip.Prefix
	methods   bool
	query     bool
	odd       bool // something in it can't be read: it may hold for anything
	policy    string
}

// person is somebody, or whoever belongs to one group, where the source leaves
// its people to others.
type person struct {
	who    string // how a line here names them
	name   string
	groups []string
}

// world is who the rules speak of.
type world struct {
	people    []person
	known     bool // people are all there are, with all their groups
	oneFactor bool
}

// site is one site of the result.
type site struct {
	host                       string
	allow, deny, public, trust []string
	later                      []string // who gets in once it is known who deny is
}

// part is empty for a rule that holds for every request to its domains, and the
// same for two rules that hold for the same requests.
func (r *rule) part() string {
	if !r.methods && !r.query && !r.odd && len(r.networks) == 0 && len(r.resources) == 0 {
		return ""
	}
	var text strings.Builder
	for _, key := range []string{"resources", "methods", "networks", "query"} {
		text.WriteString(key + ":" + strings.Join(r.at.at(key).all(), "\x00") + "\x01")
	}
	return text.String()
}

// covers tells whether the rule holds for host: for certain, or maybe.
func (r *rule) covers(host string) (sure, maybe bool) {
	for _, domain := range r.domains {
		domain = strings.ToLower(domain)
		suffix, star := strings.CutPrefix(domain, "*")
		switch {
		case strings.ContainsAny(domain, "{}"):
			_, rest, _ := strings.Cut(domain, "}")
			maybe = maybe || strings.HasSuffix(host, rest)
		case domain == host, star && strings.HasPrefix(suffix, ".") && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix):
			return true, true
		}
	}
	for _, re := range r.regexes {
		if strings.HasPrefix(host, "*") || len(re.SubexpNames()) > 1 && strings.Join(re.SubexpNames(), "") != "" {
			maybe = true
		} else if re.MatchString(host) {
			return true, true
		}
	}
	return false, maybe || r.odd
}

func (r *rule) means(p person) bool {
	return len(r.subjects) == 0 || slices.ContainsFunc(r.subjects, func(all []string) bool {
		return len(all) > 0 && !slices.ContainsFunc(all, func(subject string) bool { return !p.is(subject) })
	})
}

func (p person) is(subject string) bool {
	kind, name, _ := strings.Cut(subject, ":")
	return kind == "user" && name == p.name && name != "" || kind == "group" && slices.Contains(p.groups, name)
}

// isProgram tells whether a subject is a client of OpenID Connect, which is no person.
func isProgram(subject string) bool { return strings.HasPrefix(subject, "oauth2:client:") }

// mayMean are the subjects one of which p would have to be for the rule to hold,
// where that can't be told: of each of its lists that may be p, the first that is
// no known part of p. anything stands for a subject that is not known here.
func (w *world) mayMean(r *rule, p person) (subjects []string, anything bool) {
	for _, all := range r.subjects {
		if slices.ContainsFunc(all, isProgram) {
			continue
		}
		var first string
		unknown, not := len(all) == 0, false
		for _, subject := range all {
			kind, _, _ := strings.Cut(subject, ":")
			switch {
			case kind != "user" && kind != "group":
				unknown = true
			case w.known && !p.is(subject):
				not = true
			case first == "" && !p.is(subject):
				first = subject
			}
		}
		switch {
		case not:
		case first != "":
			subjects = append(subjects, first)
		case unknown:
			anything = true
		}
	}
	return subjects, anything
}

func (w *world) opens(policy string) bool {
	return policy == "one_factor" || policy == "bypass" || policy == "two_factor" && w.oneFactor
}

// siteFor works out what the rules come to at host.
func (w *world) siteFor(host string, rules []*rule, otherwise string, named func(subject string) string) site {
	s := site{host: host}
	everybody := false
	refused := map[string]bool{}
	for _, p := range w.people {
		if !w.admits(host, rules, otherwise, p, func(subject string) { s.deny = append(s.deny, named(subject)) }) {
			refused[p.who] = true // whoever shares a mailbox shares what is closed
		}
	}
	for _, p := range w.people {
		if !refused[p.who] && !slices.Contains(s.allow, p.who) {
			s.allow = append(s.allow, p.who)
			everybody = everybody || !w.known && p.name == "" && len(p.groups) == 0
		}
	}
	if everybody { // of all people, whose groups are part of them
		s.allow = []string{w.people[0].who}
	}
	slices.Sort(s.deny)
	s.deny = slices.Compact(s.deny)
	if len(s.deny) > 0 { // until it is known who that is, it may be anybody
		s.allow, s.later = nil, s.allow
	}
	w.open(&s, rules)
	return s
}

func (w *world) admits(host string, rules []*rule, otherwise string, p person, deny func(string)) bool {
	opened := map[string]bool{} // parts of the requests that are decided already
	for _, r := range rules {
		sure, maybe := r.covers(host)
		if !maybe {
			continue
		}
		part, open := r.part(), w.opens(r.policy)
		if !r.means(p) {
			if !open && !opened[part] {
				subjects, anything := w.mayMean(r, p)
				if anything {
					return false
				}
				for _, subject := range subjects {
					deny(subject)
				}
			}
			continue
		}
		switch {
		case sure && part == "":
			return open
		case open && sure && !r.odd:
			opened[part] = true
		case !open && !opened[part]:
			return false
		}
	}
	return w.opens(otherwise)
}

// open finds public paths and trusted networks: those of rules that let
// everybody in, where nothing before them may say otherwise.
func (w *world) open(s *site, rules []*rule) {
	var before []*rule // that do not let everybody in
	for _, r := range rules {
		sure, maybe := r.covers(s.host)
		if !maybe {
			continue
		}
		if r.policy != "bypass" {
			before = append(before, r)
			continue
		}
		if !sure || r.methods || r.query || r.odd || len(r.subjects) > 0 {
			continue
		}
		switch {
		case len(r.networks) == 0 && len(r.resources) > 0:
			for _, resource := range r.resources {
				open, _ := paths.Public(resource, true)
				if !slices.ContainsFunc(before, func(b *rule) bool { return b.mayHold(open) }) {
					s.public = append(s.public, open...)
				}
			}
		case len(before) > 0:
		case len(r.networks) > 0 && len(r.resources) == 0:
			for _, network := range r.networks {
				if policy.IsHome(network) {
					s.trust = append(s.trust, network.String())
				}
			}
		}
	}
	slices.Sort(s.public)
	s.public = slices.Compact(s.public)
}

// mayHold tells whether the rule may be asked about a public path.
func (r *rule) mayHold(public []string) bool {
	return r.odd || len(r.resources) == 0 || slices.ContainsFunc(r.resources, func(resource string) bool { return !paths.Apart(paths.Beginning(resource), public) })
}

// shorter names the people of a site by groups and as everybody, where the rules
// admit these whole: whoever comes into such a group later is let in by them, too.
func (w *world) shorter(s site, rules []*rule, otherwise string, inSource []string, named func(string) string) []string {
	if !w.known || len(s.allow) == 0 {
		return s.allow
	}
	whole := func(p person) bool { // of whom nothing else is known
		refused := false
		strangers := world{oneFactor: w.oneFactor}
		return strangers.admits(s.host, rules, otherwise, p, func(string) { refused = true }) && !refused
	}
	if len(s.allow) == len(w.addresses("")) && whole(person{}) {
		return []string{everybody}
	}
	left := slices.Clone(s.allow)
	var short []string
	for _, subject := range inSource {
		group := strings.TrimPrefix(subject, "group:")
		members := w.addresses(group)
		all := len(members) > 0 && !slices.ContainsFunc(members, func(m string) bool { return !slices.Contains(s.allow, m) })
		fresh := slices.ContainsFunc(members, func(m string) bool { return slices.Contains(left, m) })
		if all && fresh && whole(person{groups: []string{group}}) {
			short = append(short, named(subject))
			left = slices.DeleteFunc(left, func(m string) bool { return slices.Contains(members, m) })
		}
	}
	return append(short, left...)
}

// addresses are those of a group, or of everybody. Two people with one mailbox
// are in a group if both are.
func (w *world) addresses(group string) (all []string) {
	out := map[string]bool{}
	for _, p := range w.people {
		if group != "" && !slices.Contains(p.groups, group) {
			out[p.who] = true
		}
	}
	for _, p := range w.people {
		if !out[p.who] && !slices.Contains(all, p.who) {
			all = append(all, p.who)
		}
	}
	return all
}
