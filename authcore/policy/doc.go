// Package policy decides who is admitted: addresses, whole domains, named
// groups, and lists of people in files that are followed while the server runs.
//
//	who, err := policy.ParseWhoList([]string{"staff", "*@example.com"})
//	p, err := policy.Compile(who, nil, groups)
//	admitted := p.Admits(address)
//
// The zero policy admits nobody. Refusal is a value; a list that can't be read
// is an outage, which holds for a minute and then refuses. It knows no sessions
// and no requests.
//
// State of the process: the lists (Lists), read from files by this node alone.
package policy
