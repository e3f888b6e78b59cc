// Package pgstore keeps a Gatehouse store in PostgreSQL.
//
//	s, err := pgstore.Open(ctx, "postgres://gatehouse:…@db/gatehouse?sslmode=verify-full", pgstore.Options{})
//
// Records are rows of one table with a version each. An update reads, and remembers the
// versions that it saw; one statement then checks them and writes all of it or nothing
// (commit.go). Who comes second runs again. So a call takes a round trip for each Get and
// one for the commit. What waits at the same moment, of several calls, goes in one
// statement (together.go), and who commits stands in line with those who want the same
// record (lines.go). What a record names as ahead is read with it (reads.go), and what was
// read a moment ago of records that change seldom is tried first (recent.go).
//
// What became of a commit whose connection was lost is found out by its attempt's
// id, which the commit wrote too, never guessed. Connections to a server that was
// demoted or shut down, or that say nothing, are given up, all at once; what others have
// waited for in vain nobody waits for again (contact, in pool.go). A probe commits a record
// each second and finds out what there is to know (node.go).
//
// A database that has lost what was written to it, as after a failover, is found out
// and gets back what this node remembers (history.go).
//
// Nothing is kept in a connection between transactions: no SET, LISTEN, advisory
// lock, temporary table or named statement. All SQL stands in statements.go and
// schema.go, where a test reads it, and works behind a pool of transactions.
//
// The package knows the contract of stores and no record. State of the process:
// the connections, those records, what it wrote within the last minutes, how far this
// machine's clock is off the database's, and how the last look at the database went.
package pgstore
