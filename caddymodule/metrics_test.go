package caddymodule

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// metrics are the values at /metrics, by name with labels.
func (o *operated) metrics() map[string]float64 {
	o.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(o.want(200, "GET", "/metrics", "", nil)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(line, "caddy_gatehouse") {
			continue
		}
		if value == "" {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			name += "}"
		}
		n, err := strconv.ParseFloat(value, 64)
		must(o, err)
		all[name] = n
	}
	return all
}

func TestMetricsSurviveAReload(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff", "deny bob@example.com")
	before := o.metrics()
	alice := o.signIn("alice@example.com")
	client := o.client(false)
	o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(alice))
	o.fetch(client, "GET", "/x", nil)
	o.form("/_gatehouse/code", "code=123456")
	grew := func(name string, by float64) {
		t.Helper()
		eventually(t, name+" has grown", func() bool { return o.metrics()[name]-before[name] == by })
	}
	check := func() {
		t.Helper()
		grew(`caddy_gatehouse_challenges_total{result="begun"}`, 1)
		grew(`caddy_gatehouse_answers_total{result="accepted"}`, 1)
		grew(`caddy_gatehouse_answers_total{result="no_flow"}`, 1)
		grew(`caddy_gatehouse_sign_ins_total{method="code"}`, 1)
		grew(`caddy_gatehouse_check_seconds_count{result="admitted"}`, 1)
		grew(`caddy_gatehouse_check_seconds_count{result="login_required"}`, 1)
		grew(`caddy_gatehouse_refusals_total{reason="login_required",report_only="false"}`, 1)
		grew(`caddy_gatehouse_mail_seconds_count{result="sent",sender="smtp `+o.mail.Addr+`"}`, 1)
		now := o.metrics()
		if now["caddy_gatehouse_sessions"] != 1 || now["caddy_gatehouse_mail_down"] != 0 || now["caddy_gatehouse_store_free_bytes"] == 0 {
			t.Errorf("%v", now)
		}
		if now[`caddy_gatehouse_store_seconds_count{op="update"}`] <= before[`caddy_gatehouse_store_seconds_count{op="update"}`] {
			t.Error("no time of the store was measured")
		}
	}
	check()
	o.run("", "staff")
	check()
	grew(`caddy_gatehouse_reloads_total{result="ok"}`, 1)
	o.done("revoke", "alice@example.com")
	grew(`caddy_gatehouse_sessions_ended_total{reason="revoked"}`, 1)
}

// Nothing that a visitor can choose becomes a label: 10,000 addresses and hosts
// leave the metrics as many as they were.
func TestMetricsAreBounded(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	client := o.client(false)
	visit := func(n int) {
		for i := range n {
			name := "visitor" + strconv.Itoa(i)
			o.form("/_gatehouse/login", "email="+name+"@evil.test")
			o.form("/_gatehouse/code", "code="+name)
			o.fetch(client, "GET", "/"+name, nil, "User-Agent: "+name, "Cookie: __Host-gatehouse="+name)
		}
	}
	visit(1)
	before := o.metrics()
	visit(20)
	after := o.metrics()
	if len(after) != len(before) {
		t.Errorf("%d series, then %d", len(before), len(after))
	}
	for name := range after {
		if strings.Contains(name, "visitor") || strings.Contains(name, "@") {
			t.Errorf("%s", name)
		}
	}
}

func TestListMetrics(t *testing.T) {
	o := newOperated(t)
	people := o.dir + "/people.txt"
	write := func(text string) { must(t, os.WriteFile(people, []byte(text), 0o600)) }
	state, bad := `caddy_gatehouse_list_state{file="`+people+`"}`, `caddy_gatehouse_list_bad_lines{file="`+people+`"}`
	write("alice@example.com\n")
	o.run("", "file:"+people)
	if got, shown := o.metrics()[state]; got != 0 || !shown {
		t.Errorf("a good list has state %v", got)
	}
	write("alice@example.com\nnot an address\n")
	eventually(t, "the bad line shows", func() bool { return o.metrics()[state] == 1 && o.metrics()[bad] == 1 })
	write("alice@example.com\n")
	o.run("", "file:"+people, "report_only")
	if now := o.metrics(); now[state] != 0 || now[bad] != 0 {
		t.Errorf("a list that was mended before a reload has state %v", now[state])
	}
	write("alice@example.com\nnot an address\n")
	eventually(t, "the bad line shows again", func() bool { return o.metrics()[state] == 1 })
	write("# nobody\n")
	eventually(t, "that the list is empty now shows", func() bool { return o.metrics()[state] == 4 })
	write("bob@example.com\n")
	eventually(t, "the list is good again", func() bool { return o.metrics()[state] == 0 })
	o.run("", "staff")
	if _, shown := o.metrics()[state]; shown {
		t.Error("a list that is in no configuration raises an alarm for ever")
	}
}
