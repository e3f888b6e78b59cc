// Package address knows what a mailbox and a telephone number are called: it
// reads each once, at the edge, into a type whose values are the same person's
// exactly if they are ==.
//
//	a, err := address.Parse("Alice@Example.com") // alice@example.com
//	p, err := address.ParsePhone("+14155550123")
//
// Nothing is folded beyond ASCII case, and no domain is mapped: what a mapping
// would change is refused, so that nobody can type a domain that looks like one
// and is another. It knows no people, no mail and no store.
//
// State of the process: none.
package address
