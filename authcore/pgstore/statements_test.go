package pgstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What a statement must not do, because it stays with the connection, which is
// another one in the next transaction behind PgBouncer, or because engines that
// speak the same wire don't have it.
var forbidden = []struct{ what, pattern string }{
	{"LISTEN and NOTIFY", `\b(UN)?LISTEN\b|\bNOTIFY\b|pg_notify`},
	{"advisory locks", `advisory`},
	{"SET of a session", `(?:^|;)\s*(SET|RESET|DISCARD)\b|set_config`},
	{"temporary tables", `\bTEMP(ORARY)?\b`},
	{"named statements", `\b(PREPARE|EXECUTE|DEALLOCATE)\b`},
	{"cursors", `\b(DECLARE|FETCH|WITH HOLD)\b`},
	{"locks of whole tables", `\bLOCK\s+TABLE\b|(?:^|;)\s*LOCK\b`},
	{"several statements in one", `;\s*\S`},
	{"procedures and triggers", `\b(DO|CALL)\s+\$|\bTRIGGER\b|\bFUNCTION\b|plpgsql`},
	{"extensions", `\bEXTENSION\b`},
	{"COPY", `\bCOPY\b`},
	{"text put together", `%[sdvq]`},
}

var isSQL = regexp.MustCompile(`(?i)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|ROLLBACK|CREATE|ALTER|DROP|SET|LOCK|LISTEN|COPY|PREPARE|EXECUTE|DECLARE|SHOW|TRUNCATE|DO|CALL|VACUUM)\s`)

// No statement keeps anything in a connection, and all stand where they are read
// here.
func TestStatementsKeepNothing(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, text := range texts(t, file) {
			if !isSQL.MatchString(text + " ") {
				continue
			}
			seen++
			if file != "statements.go" && file != "schema.go" {
				t.Errorf("%s has a statement, which belongs into statements.go: %s", file, text)
			}
			if rule := broken(text); rule != "" {
				t.Errorf("%s: %s: %s", file, rule, text)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d statements were found", seen)
	}
}

func broken(statement string) string {
	for _, rule := range forbidden {
		if regexp.MustCompile(`(?i)` + rule.pattern).MatchString(statement) {
			return rule.what
		}
	}
	return ""
}

func TestTheRulesFindWhatTheyForbid(t *testing.T) {
	for statement, want := range map[string]string{
		"LISTEN endings":                           "LISTEN and NOTIFY",
		"SELECT pg_notify('a', 'b')":               "LISTEN and NOTIFY",
		"SELECT pg_try_advisory_xact_lock(1)":      "advisory locks",
		"SET statement_timeout = 1":                "SET of a session",
		"SELECT set_config('a', 'b', false)":       "SET of a session",
		"CREATE TEMP TABLE a (b int)":              "temporary tables",
		"PREPARE a AS SELECT 1":                    "named statements",
		"DECLARE a CURSOR FOR SELECT 1":            "cursors",
		"LOCK gatehouse_record":                    "locks of whole tables",
		"SELECT 1; SELECT 2":                       "several statements in one",
		"SELECT * FROM %s":                         "text put together",
		"UPDATE gatehouse_schema SET version = $1": "",
		"INSERT INTO a VALUES ($1) ON CONFLICT (b) DO UPDATE SET c = excluded.c": "",
	} {
		if got := broken(statement); got != want {
			t.Errorf("%s: %q, want %q", statement, got, want)
		}
	}
}

// texts are the string literals of a file.
func texts(t *testing.T, file string) (all []string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return true
	})
	return all
}
