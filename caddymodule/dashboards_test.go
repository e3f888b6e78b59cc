package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/caddymodule/metrics"
)

// aMetric is one name that /metrics shows.
type aMetric struct {
	labels  []string
	counter bool // only its increase says something
	of      string
}

// allMetrics are all names that /metrics can show of us, and one of Caddy's.
func allMetrics() map[string]aMetric {
	all := map[string]aMetric{"caddy_config_last_reload_successful": {}}
	described := regexp.MustCompile(`fqName: "([a-z_]+)".*variableLabels: \{([a-z_,]*)\}`)
	for _, c := range metrics.Collectors(scraped) {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := described.FindStringSubmatch(d.String())
			labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
			switch c.(type) {
			case *prometheus.HistogramVec:
				all[m[1]+"_bucket"] = aMetric{append(slices.Clone(labels), "le"), true, m[1]}
				all[m[1]+"_count"] = aMetric{labels, true, m[1]}
				all[m[1]+"_sum"] = aMetric{labels, true, m[1]}
			case *prometheus.CounterVec:
				all[m[1]] = aMetric{labels, true, m[1]}
			default:
				all[m[1]] = aMetric{labels, false, m[1]}
			}
		}
	}
	return all
}

// labelWords are the words that labels can have, as far as they are our own.
func labelWords(t *testing.T) []string {
	t.Helper()
	words := []string{"sent", outbox.Rejected.String(), "true", "false"}
	registry := prometheus.NewRegistry()
	must(t, metrics.Register(registry, scraped))
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				words = append(words, l.GetValue())
			}
		}
	}
	return words
}

// query is a PromQL expression and the text that is shown with its answer.
type query struct{ where, expr, text string }

// queries are those of the dashboard and the alerts.
func queries(t *testing.T) (all []query) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	text, err := os.ReadFile("../examples/grafana.json")
	must(t, err)
	must(t, json.Unmarshal(text, &board))
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, target.Expr, strings.ReplaceAll(target.LegendFormat, "{{", "{{ ")})
		}
	}
	text, err = os.ReadFile("../examples/alerts.yml")
	must(t, err)
	for _, rule := range strings.Split(string(text), "- alert: ")[1:] {
		name, rest, _ := strings.Cut(rule, "\n")
		expr := regexp.MustCompile(`(?m)^ +expr: (.*)$`).FindStringSubmatch(rest)
		if expr == nil || !strings.Contains(rest, "severity: ") || !strings.Contains(rest, "summary: ") {
			t.Fatalf("alert %s lacks something", name)
		}
		all = append(all, query{"alert " + name, expr[1], strings.ReplaceAll(rest, "{{ $labels.", "{{ ")})
	}
	return all
}

var (
	promToken  = regexp.MustCompile(`^(?:[a-z_]+|"[^"]*"|[0-9.]+(?:e[0-9]+)?|\[[0-9]+[smhd]\]|=~|==|[-+*/<>=(){},])`)
	shownLabel = regexp.MustCompile(`\{\{ ([a-z_]+)`)
	promWords  = []string{"and", "sum", "min", "max", "rate", "increase", "histogram_quantile", "by", "or"}
)

// tokens splits an expression.
func (q query) tokens() (all []string, err error) {
	for rest := strings.TrimSpace(q.expr); rest != ""; rest = strings.TrimSpace(rest) {
		token := promToken.FindString(rest)
		if token == "" {
			return nil, fmt.Errorf("%.20q is no PromQL that this test knows", rest)
		}
		all, rest = append(all, token), rest[len(token):]
	}
	return all, nil
}

// promReader is a query as it is read, token by token.
type promReader struct {
	known  map[string]aMetric
	words  []string
	open   []string // what the brackets that are open belong to
	before string
	m      aMetric  // the last metric
	labels []string // that the answer can have
	by     bool     // labels are named
}

func (a *promReader) inside() string { return strings.Join(a.open, " ") }

// problem is what is wrong with a query, in words. It notes which metrics
// are asked for.
func (q query) problem(known map[string]aMetric, words []string, used map[string]bool) error {
	tokens, err := q.tokens()
	if err != nil {
		return err
	}
	a := &promReader{known: known, words: words, by: slices.Contains(tokens, "by")}
	for _, token := range tokens {
		if err := a.read(token); err != nil {
			return err
		}
		a.before = token
		used[a.m.of] = true
	}
	if len(a.open) > 0 {
		return fmt.Errorf("%s is not closed", a.open[len(a.open)-1])
	}
	return q.labelProblem(a.labels, a.m)
}

func (a *promReader) read(token string) error {
	metric, isMetric := a.known[token]
	isWord := token[0] >= 'a' && token[0] <= 'z'
	switch {
	case token == "(" || token == "{":
		a.open = append(a.open, a.before+token)
	case token == ")" || token == "}":
		if len(a.open) == 0 || strings.HasSuffix(a.inside(), "(") != (token == ")") {
			return fmt.Errorf("a %s closes nothing", token)
		}
		a.open = a.open[:len(a.open)-1]
	case isMetric:
		a.m = metric
		return a.readMetric(token)
	case strings.HasSuffix(a.inside(), "{"):
		return a.readSelector(token, isWord)
	case strings.HasSuffix(a.inside(), "by("):
		if isWord {
			a.labels = append(a.labels, token)
		}
	case token[0] == '[' && !a.overTime(), isWord && !slices.Contains(promWords, token):
		return fmt.Errorf("%s can't stand here", token)
	}
	return nil
}

func (a *promReader) overTime() bool {
	return strings.Contains(a.inside(), "rate(") || strings.Contains(a.inside(), "increase(")
}

func (a *promReader) readMetric(name string) error {
	if a.m.counter != a.overTime() {
		return fmt.Errorf("%s: rate and increase are for counters, and for these alone", name)
	}
	if !a.by && !strings.Contains(a.inside(), "sum(") && !strings.Contains(a.inside(), "max(") {
		a.labels = append(a.labels, a.m.labels...)
	}
	return nil
}

func (a *promReader) readSelector(token string, isLabel bool) error {
	if isLabel && !slices.Contains(a.m.labels, token) {
		return fmt.Errorf("no label %s", token)
	}
	if token[0] != '"' {
		return nil
	}
	for word := range strings.SplitSeq(strings.Trim(token, `"`), "|") {
		if !slices.Contains(a.words, word) {
			return fmt.Errorf("no metric has the word %q", word)
		}
	}
	return nil
}

// labelProblem: what is shown with an answer must be in it.
func (q query) labelProblem(labels []string, m aMetric) error {
	for _, label := range labels {
		if !slices.Contains(m.labels, label) {
			return fmt.Errorf("no label %s", label)
		}
	}
	for _, shown := range shownLabel.FindAllStringSubmatch(q.text, -1) {
		if !slices.Contains(labels, shown[1]) {
			return fmt.Errorf("the text shows %s, which the answer has not", shown[1])
		}
	}
	return nil
}

// The dashboard and the alerts ask for metrics that exist, with labels and
// words that these have, and leave none out.
func TestDashboardAndAlertsAskForRealMetrics(t *testing.T) {
	known, words, used := allMetrics(), labelWords(t), map[string]bool{}
	all := queries(t)
	if len(all) < 35 {
		t.Errorf("only %d queries were found", len(all))
	}
	for _, q := range all {
		if err := q.problem(known, words, used); err != nil {
			t.Errorf("%s: %s: %v", q.where, q.expr, err)
		}
	}
	for name, m := range known {
		if m.of != "" && !used[m.of] {
			t.Errorf("%s is in no panel and no alert", name)
		}
	}
}

// The check finds what is wrong.
func TestBadQuestionsAreFound(t *testing.T) {
	known, words := allMetrics(), labelWords(t)
	for _, q := range []query{
		{expr: `sum(rate(caddy_gatehouse_answers_total[5m])`},
		{expr: `sum(rate(caddy_gatehouse_answer_total[5m]))`},
		{expr: `caddy_gatehouse_answers_total`},
		{expr: `rate(caddy_gatehouse_sessions[5m])`},
		{expr: `sum(rate(caddy_gatehouse_answers_total{reason="locked"}[5m]))`},
		{expr: `sum(rate(caddy_gatehouse_answers_total{result="lockt"}[5m]))`},
		{expr: `sum by (reason) (rate(caddy_gatehouse_answers_total[5m]))`},
		{expr: `sum by (result) (rate(caddy_gatehouse_answers_total[5m]))`, text: "{{ reason"},
		{expr: `sum(rate(caddy_gatehouse_answers_total[5m]))`, text: "{{ result"},
		{expr: `avg(caddy_gatehouse_sessions)`},
		{expr: `caddy_gatehouse_sessions ! 1`},
		{expr: `caddy_gatehouse_sessions)`},
	} {
		if q.problem(known, words, map[string]bool{}) == nil {
			t.Errorf("%s %s: nothing is wrong with it", q.expr, q.text)
		}
	}
}

// Every metric is documented with its labels, and nothing else is.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	must(t, err)
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(caddy_gatehouse_[a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[2]
	}
	for _, m := range allMetrics() {
		if m.of == "" {
			continue
		}
		labels := slices.DeleteFunc(slices.Clone(m.labels), func(l string) bool { return l == "le" })
		want := ""
		if len(labels) > 0 {
			want = "`" + strings.Join(labels, "`, `") + "`"
		}
		if got, ok := documented[m.of]; !ok || strings.TrimSpace(got) != want {
			t.Errorf("docs/metrics.md says of %s that its labels are %q, they are %q", m.of, got, want)
		}
	}
	for name := range documented {
		if !slices.ContainsFunc(slices.Collect(maps.Values(allMetrics())), func(m aMetric) bool { return m.of == name }) {
			t.Errorf("docs/metrics.md has a row for %s, which is nothing", name)
		}
	}
}
