package caddymodule

import (
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/event"
	"github.com/gatehouse-auth/gatehouse/authcore/move"
	"github.com/gatehouse-auth/gatehouse/caddymodule/operate"
)

func TestAdminSessionsAndUsers(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	first, second := o.signIn("alice@example.com"), o.signIn("alice@example.com")
	bob := o.signIn("bob@example.com")
	client := o.client(false)
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(first), "User-Agent: Test/1"); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}

	var page operate.SessionPage
	o.want(200, "GET", "/gatehouse/sessions", "", &page)
	if len(page.Sessions) != 3 || page.Next != "" {
		t.Fatalf("%+v", page)
	}
	seen := map[string]bool{}
	for next := ""; ; {
		o.want(200, "GET", "/gatehouse/sessions?limit=1&after="+next, "", &page)
		for _, s := range page.Sessions {
			seen[s.ID] = true
			if s.Email == "" || s.Method != "code" || len(s.Sites) != 1 || s.Expires.IsZero() {
				t.Errorf("%+v", s)
			}
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d sessions on pages of one", len(seen))
	}
	o.want(200, "GET", "/gatehouse/sessions?user=alice@example.com", "", &page)
	if len(page.Sessions) != 2 {
		t.Errorf("alice has %d sessions", len(page.Sessions))
	}

	o.want(204, "DELETE", "/gatehouse/sessions/"+first.Session.ID, "", nil)
	o.want(404, "DELETE", "/gatehouse/sessions/"+first.Session.ID, "", nil)
	o.want(404, "DELETE", "/gatehouse/sessions/nobody", "", nil)
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(first)); resp.StatusCode != 401 {
		t.Errorf("an ended session gets %s", resp.Status)
	}

	var users operate.UserPage
	o.want(200, "GET", "/gatehouse/users", "", &users)
	if len(users.Users) != 2 {
		t.Errorf("%+v", users)
	}
	var user operate.User
	for _, id := range []string{"alice@example.com", "ALICE%40example.com", second.Session.Subject} {
		o.want(200, "GET", "/gatehouse/users/"+id, "", &user)
		if user.Email != "alice@example.com" || len(user.Sessions) != 1 || strings.Join(user.Groups, " ") != "staff" {
			t.Errorf("%s: %+v", id, user)
		}
	}
	o.want(204, "POST", "/gatehouse/users/alice@example.com/end-sessions", "", nil)
	o.want(404, "POST", "/gatehouse/users/carol@example.com/end-sessions", "", nil)
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(second)); resp.StatusCode != 401 {
		t.Errorf("an ended session gets %s", resp.Status)
	}
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(bob)); resp.StatusCode != 200 {
		t.Errorf("another's session gets %s", resp.Status)
	}
	o.want(204, "DELETE", "/gatehouse/users/"+bob.Session.Subject, "", nil)
	o.want(404, "GET", "/gatehouse/users/bob@example.com", "", nil)
	if resp := o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(bob)); resp.StatusCode != 401 {
		t.Errorf("the session of somebody who is gone gets %s", resp.Status)
	}
}

func TestAdminRefusals(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	for _, test := range []struct {
		status             int
		method, path, body string
	}{
		{404, "GET", "/gatehouse/nothing", ""},
		{404, "GET", "/gatehouse/", ""},
		{404, "GET", "/gatehouse/users/", ""},
		{404, "GET", "/gatehouse/users/../status/x", ""},
		{405, "POST", "/gatehouse/status", ""},
		{405, "GET", "/gatehouse/keys/rotate", ""},
		{405, "PUT", "/gatehouse/users/alice@example.com", ""},
		{400, "GET", "/gatehouse/sessions?limit=0", ""},
		{400, "GET", "/gatehouse/sessions?limit=1001", ""},
		{400, "GET", "/gatehouse/sessions?limit=x", ""},
		{404, "GET", "/gatehouse/sessions?user=nobody@example.com", ""},
		{400, "GET", "/gatehouse/why", ""},
		{400, "GET", "/gatehouse/why?email=a@b@c", ""},
		{400, "GET", "/gatehouse/why?email=alice@example.com&site=::", ""},
		{404, "GET", "/gatehouse/why?email=alice@example.com&site=https://elsewhere.example", ""},
		{400, "POST", "/gatehouse/why", "not json"},
		{400, "POST", "/gatehouse/why", `{"email":"alice@example.com","evil":1}`},
		{413, "POST", "/gatehouse/why", strings.Repeat(" ", 65<<10)},
		{400, "POST", "/gatehouse/test-email", `{"to":"nobody"}`},
		{400, "POST", "/gatehouse/import", "nonsense"},
	} {
		status, answer := o.call(test.method, test.path, test.body)
		if status != test.status || !strings.Contains(answer, `"error"`) {
			t.Errorf("%s %s: %d, want %d: %s", test.method, test.path, status, test.status, answer)
		}
	}
}

// The admin endpoint must work with and without Gatehouse, and through reloads
// that fail.
func TestAdminOutlivesConfigurations(t *testing.T) {
	o := newOperated(t)
	o.load([]byte(`{"admin":{"listen":"` + o.admin + `","config":{"persist":false}}}`))
	o.want(503, "GET", "/gatehouse/status", "", nil)
	o.run("", "staff")
	o.want(200, "GET", "/gatehouse/status", "", nil)
	bad := strings.Replace(string(o.config("", "staff")), `"apps":{`, `"apps":{"stubborn":{},`, 1)
	o.refuses([]byte(bad))
	o.want(200, "GET", "/gatehouse/status", "", nil)
	o.run("", "staff", "report_only")
	var s operate.Status
	o.want(200, "GET", "/gatehouse/status", "", &s)
	if len(s.Gates) != 1 || !s.Gates[0].ReportOnly {
		t.Errorf("%+v", s.Gates)
	}
}

func TestAdminStatus(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	o.signIn("alice@example.com")
	var s operate.Status
	// A mail may be read before its sender hears that it was taken, and the
	// notice of a new browser follows.
	eventually(t, "all mail shows in the status as sent", func() bool {
		s = operate.Status{}
		o.want(200, "GET", "/gatehouse/status", "", &s)
		return s.Mail.Senders[0].LastSent != nil && s.Mail.Waiting == 0
	})
	if s.Sessions != 1 || s.Mail.Down || len(s.Keys) != 1 || !s.Keys[0].Signs {
		t.Errorf("%+v", s)
	}
	dir, err := filepath.EvalSymlinks(o.dir)
	must(t, err)
	if s.Store.Dir != dir+"/store" || s.Store.SizeBytes == 0 || s.Store.FreeBytes == 0 || s.Store.Error != "" {
		t.Errorf("%+v", s.Store)
	}
}

func TestAdminWhy(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff *@corp.example", "deny bob@example.com mal@corp.example", "public /open/*", "client_ip 127.0.0.0/8")
	in := o.signIn("alice@example.com")
	site := o.origin("app.example.com")
	ask := func(email, site string) (w operate.Why) {
		t.Helper()
		var post operate.Why
		o.want(200, "GET", "/gatehouse/why?email="+url.QueryEscape(email)+"&site="+url.QueryEscape(site), "", &w)
		o.want(200, "POST", "/gatehouse/why", `{"email":"`+email+`","site":"`+site+`"}`, &post)
		if w.Allowed != post.Allowed || w.Rule != post.Rule || len(w.Mails) != len(post.Mails) {
			t.Errorf("GET %+v, POST %+v", w, post)
		}
		return w
	}
	for _, test := range []struct {
		email, site string
		allowed     bool
		rule, entry string
	}{
		{"alice@example.com", site, true, "staff", ""},
		{"Alice@Example.com", site + "/some/page", true, "staff", ""},
		{"eve@corp.example", site, true, "*@corp.example", ""},
		{"bob@example.com", site, false, "not_allowed", "deny bob@example.com"},
		{"carol@example.com", site, false, "not_allowed", ""},
		{"carol@example.com", site + "/open/x", true, "public", ""},
		{"alice@example.com", "", true, "staff", ""},
		{"carol@example.com", "", false, "not_allowed", ""},
	} {
		w := ask(test.email, test.site)
		if w.Allowed != test.allowed || w.Rule != test.rule || w.Entry != test.entry || w.Mails == nil {
			t.Errorf("%s at %s: %+v", test.email, test.site, w)
		}
	}
	var w operate.Why
	eventually(t, "the sender is known", func() bool {
		w = ask("alice@example.com", site)
		return len(w.Mails) > 0 && w.Mails[0].Sender != ""
	})
	if w.Subject != in.Session.Subject || len(w.Gates) != 1 || len(w.Gates[0].Besides) != 1 || len(w.Mails) != 1 {
		t.Fatalf("%+v", w)
	}
	m := w.Mails[0]
	if m.Outcome != "used" || m.Session != in.Session.ID || !strings.HasPrefix(m.Sender, "smtp 127.0.0.1:") || m.Site != site {
		t.Errorf("%+v", m)
	}
	// The audit log tells the same, by challenge and mark.
	var events []string
	for _, e := range o.audited("") {
		if e["challenge"] == m.Challenge {
			if e["mark"] != w.Mark {
				t.Errorf("%v has another mark than %s", e, w.Mark)
			}
			events = append(events, e["event"].(string))
		}
	}
	slices.Sort(events) // a mail may be read before its sender hears that it was taken
	if got := strings.Join(events, " "); got != "challenge mail_sent signed_in" {
		t.Errorf("events %s", got)
	}
}

func TestAdminKeysAndRevocation(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	in := o.signIn("alice@example.com")
	client := o.client(false)
	status := func() int {
		return o.fetch(client, "GET", "/x", nil, "Cookie: "+cookieOf(in)).StatusCode
	}
	var out struct {
		Key string `json:"kid"`
	}
	o.want(200, "POST", "/gatehouse/keys/rotate", "", &out)
	if out.Key == "" || status() != 200 {
		t.Fatal("the old cookie is refused after a rotation")
	}
	o.run("", "staff") // and after a reload
	if status() != 200 {
		t.Fatal("the old cookie is refused after a reload")
	}
	o.want(200, "POST", "/gatehouse/keys/rotate", `{"revoke":true}`, &out)
	if got := status(); got != 401 {
		t.Fatalf("after --revoke: %d", got)
	}
	in = o.signIn("alice@example.com")
	if status() != 200 {
		t.Fatal("nobody can sign in any more")
	}
}

func TestAdminTestEmail(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	var out struct {
		Sent    bool
		Results []operate.TestResult
	}
	o.want(200, "POST", "/gatehouse/test-email", `{"to":"ops@example.net"}`, &out)
	if !out.Sent || len(out.Results) != 1 || out.Results[0].Outcome != "sent" {
		t.Errorf("%+v", out)
	}
	if m := o.mail.NextTo(t, "ops@example.net"); !strings.Contains(string(m.Data), "Subject: Test mail") {
		t.Errorf("%s", m.Data)
	}
	o.mail.RefuseTo("gone@example.net", 550)
	o.want(502, "POST", "/gatehouse/test-email", `{"to":"gone@example.net"}`, &out)
	if out.Sent || out.Results[0].Outcome != "rejected" || !strings.Contains(out.Results[0].Detail, "550") {
		t.Errorf("%+v", out)
	}
}

func TestAdminExportAndImport(t *testing.T) {
	o := newOperated(t)
	o.run("", "staff")
	in := o.signIn("alice@example.com")
	text := o.want(200, "GET", "/gatehouse/export", "", nil)
	if strings.Contains(text, `"key"`) || !strings.Contains(text, in.Session.ID) {
		t.Fatal(text)
	}
	whole := o.want(200, "GET", "/gatehouse/export?keys=true", "", nil)
	var done move.Imported
	o.want(200, "POST", "/gatehouse/import", whole, &done)
	if done != (move.Imported{Unchanged: 3}) {
		t.Errorf("%+v", done)
	}
	broken := strings.Replace(whole, `"type":"session"`, `"type":"sessions"`, 1)
	if answer := o.want(http.StatusBadRequest, "POST", "/gatehouse/import", broken, nil); !strings.Contains(answer, "line 3") {
		t.Error(answer)
	}
	if answer := o.want(http.StatusBadRequest, "POST", "/gatehouse/import", whole[:len(whole)/2], nil); !strings.Contains(answer, "line ") {
		t.Error(answer)
	}
	actions := map[string]bool{}
	for _, e := range o.audited(event.Admin) {
		actions[e["reason"].(string)] = true
	}
	if !actions["export"] || !actions["import"] {
		t.Errorf("audited %v", actions)
	}
}
