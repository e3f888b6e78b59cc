package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clockUses are the functions that may be given the machine's own time: nothing
// they decide is a rule of sign-in.
var clockUses = []string{
	"SetReadDeadline", "SetWriteDeadline", // of connections
	"Allow", // gate.LineLimit: how many lines of a log, also before the core stands
}

// TestOneClock: whoever serves or decides takes the time from the core. Two
// clocks in one decision, and a session that the core has let pass is too old
// for its gate, or the other way round. The machine's own clock is for measuring:
// began := time.Now(), time.Since(began).
func TestOneClock(t *testing.T) {
	for _, room := range []string{"caddymodule", "pages", "api"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if d != nil && d.IsDir() && (strings.HasSuffix(path, "test") || d.Name() == "cli") {
				return filepath.SkipDir // a command has no core to ask
			}
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(d.Name(), "command") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, at := range clockReadings(f) {
				t.Errorf("%s reads the machine's clock: ask the core's, Service.Now", files.Position(at))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneClockCanFail shows what is found, and what is not.
func TestOneClockCanFail(t *testing.T) {
	for source, want := range map[string]int{
		`return time.Now().Sub(s.AuthTime) < limit`:             1,
		`return time.Since(s.AuthTime) < limit`:                 1,
		`return time.Until(s.Expires) > 0`:                      1,
		`now := time.Now(); return now.After(s.Expires)`:        1,
		`began := time.Now(); defer observe(time.Since(began))`: 0,
		`c.SetReadDeadline(time.Now().Add(limit))`:              0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() bool {\n"+source+"\n}", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(clockReadings(f)); got != want {
			t.Errorf("%s: %d", source, got)
		}
	}
}

// clockReadings finds calls of time.Now, time.Since and time.Until that are not
// for measuring.
func clockReadings(f *ast.File) (found []token.Pos) {
	fine := map[*ast.CallExpr]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if call, ok := n.Rhs[0].(*ast.CallExpr); ok && isNamed(n.Lhs[0], "began") {
				fine[call] = true
			}
		case *ast.CallExpr:
			callee, _ := n.Fun.(*ast.SelectorExpr)
			switch {
			case callee != nil && slices.Contains(clockUses, callee.Sel.Name):
				for _, arg := range n.Args {
					ast.Inspect(arg, func(n ast.Node) bool {
						if call, ok := n.(*ast.CallExpr); ok {
							fine[call] = true
						}
						return true
					})
				}
			case callee == nil || !isNamed(callee.X, "time") || fine[n]:
			case callee.Sel.Name == "Now", callee.Sel.Name == "Until", callee.Sel.Name == "Since" && !isNamed(n.Args[0], "began"):
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}
