package pgtest

import (
	"io"
	"os/exec"
)

// Command is one of the user that PostgreSQL's servers run as, who owns dir from now on.
func Command(dir, name string, args ...string) (*exec.Cmd, error) {
	return unprivileged(name, args...), give(dir)
}

// Run runs a server until what it returns is closed, or this process ends. What it says
// goes to the file log in dir, which is deleted in the end.
func Run(dir string, server *exec.Cmd) (io.Closer, error) { return keep(dir, server) }
