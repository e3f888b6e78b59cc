package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CopyOut returns what a query finds as COPY writes it.
func CopyOut(t testing.TB, dsn, query string) []byte {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(context.Background(), &out, "COPY ("+query+") TO STDOUT"); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out.Bytes()
}

// CopyIn loads what CopyOut has returned, or the like of it, into a table.
func CopyIn(t testing.TB, dsn, table string, from io.Reader) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	if _, err := conn.PgConn().CopyFrom(context.Background(), from, "COPY "+table+" FROM STDIN"); err != nil {
		t.Errorf("%s: %v", table, err)
	}
}

// Processes are those of the server behind dsn: the first is the parent of the others.
func Processes(t testing.TB, dsn string) (pids []int) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	var own int
	if err := conn.QueryRow(context.Background(), "SELECT pg_backend_pid()").Scan(&own); err != nil {
		t.Fatal(err)
	}
	parent := stat(own).parent
	pids = []int{parent}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		var pid int
		if _, err := fmt.Sscan(filepath.Base(dir), &pid); err == nil && stat(pid).parent == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// CPU is what the server behind dsn has used so far, all its processes together.
func CPU(t testing.TB, dsn string) (used time.Duration) {
	t.Helper()
	for i, pid := range Processes(t, dsn) {
		p := stat(pid)
		used += p.used
		if i == 0 {
			used += p.children
		}
	}
	return used
}

// ProcessCPU is what one process has used.
func ProcessCPU(pid int) time.Duration { return stat(pid).used }

type process struct {
	parent         int
	used, children time.Duration // children: of those that have ended
}

// tick is the unit of times in /proc.
const tick = 10 * time.Millisecond

func stat(pid int) (p process) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// What stands before the last parenthesis is the name, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return process{}
	}
	var user, system, childUser, childSystem int64
	_, _ = fmt.Sscan(strings.Join([]string{fields[1], fields[11], fields[12], fields[13], fields[14]}, " "), &p.parent, &user, &system, &childUser, &childSystem)
	p.used, p.children = time.Duration(user+system)*tick, time.Duration(childUser+childSystem)*tick
	return p
}
