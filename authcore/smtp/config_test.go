package smtp_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
	"github.com/gatehouse-auth/gatehouse/authcore/smtp"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	good := smtp.Config{Host: "smtp.example.com", Port: 587, Username: "u", Password: "p"}
	for want, change := range map[string]func(*smtp.Config){
		"host name":        func(c *smtp.Config) { c.Host = "" },
		"is not a host":    func(c *smtp.Config) { c.Host = "smtp://smtp.example.com" },
		"most servers use": func(c *smtp.Config) { c.Port = 0 },
		"between 1 and":    func(c *smtp.Config) { c.Port = 70000 },
		"starttls, impl":   func(c *smtp.Config) { c.TLS = "ssl" },
		"need each other":  func(c *smtp.Config) { c.Password = "" },
		"each other":       func(c *smtp.Config) { c.Username = "" },
		"in clear":         func(c *smtp.Config) { c.TLS = smtp.Off },
		"negative":         func(c *smtp.Config) { c.Timeout = -1 },
		"EHLO":             func(c *smtp.Config) { c.Hello = "a b\r\n" },
		"auth \"NTLM\" is": func(c *smtp.Config) { c.Auth = "ntlm" },
		"auth PLAIN needs": func(c *smtp.Config) { c.Auth, c.Username, c.Password = "plain", "", "" },
		"server_name \"a ": func(c *smtp.Config) { c.ServerName = "a b" },
		"host:port alone":  func(c *smtp.Config) { c.Host = "mailer:hunter2@smtp.example.com" },
	} {
		c := good
		change(&c)
		if _, err := smtp.New(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	s, err := smtp.New(good)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name() != "smtp smtp.example.com:587" {
		t.Error(s.Name())
	}
}

// On the way to another machine a password in clear is anybody's.
func TestPasswordInClearOnlyOnLocalhost(t *testing.T) {
	for host, fine := range map[string]bool{
		"localhost": true, "mail.localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true,
		"localhost.example.com": false, "10.0.0.1": false, "::2": false, "evil-localhost": false,
	} {
		_, err := smtp.New(smtp.Config{Host: host, Port: 25, TLS: smtp.Off, Username: "u", Password: "p"})
		if (err == nil) != fine {
			t.Errorf("%s: %v", host, err)
		}
		if _, err := smtp.New(smtp.Config{Host: host, Port: 25, TLS: smtp.Off}); err != nil {
			t.Errorf("%s without sign-in: %v", host, err)
		}
	}
}

func TestPasswordNeverShows(t *testing.T) {
	c := smtp.Config{Host: "h", Port: 1, Username: "u", Password: "hunter2hunter2"}
	s, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(struct{ P outbox.Credential }{c.Password})
	if err != nil {
		t.Fatal(err)
	}
	var logs strings.Builder
	slog.New(slog.NewTextHandler(&logs, nil)).Info("x", "password", c.Password, "config", c)
	slog.New(slog.NewJSONHandler(&logs, nil)).Info("x", "password", c.Password)
	logs.Write(asJSON)
	fmt.Fprintf(&logs, "%v %+v %#v %s %q %x %d %v %+v", c, c, c, c.Password, c.Password, c.Password, c.Password, s, *s)
	if strings.Contains(logs.String(), "hunter2") || strings.Contains(logs.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the password shows:\n%s", logs.String())
	}
}
