package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// oauth2Nginx is what oauth2-proxy's documentation has nginx say, where host and port
// alone are changed: no X-Forwarded-For and no X-Forwarded-Host, so that nginx hands on
// what its clients say there. more stands in the location of the question.
const oauth2Nginx = `
	location /oauth2/ {
		proxy_pass       http://127.0.0.1:9091;
		proxy_set_header Host                    $host;
		proxy_set_header X-Real-IP               $remote_addr;
		proxy_set_header X-Auth-Request-Redirect $request_uri;
	}
	location = /oauth2/auth {
		proxy_pass       http://127.0.0.1:9091;
		proxy_set_header Host             $host;
		proxy_set_header X-Real-IP        $remote_addr;
		proxy_set_header X-Forwarded-Uri  $request_uri;
		proxy_set_header Content-Length   "";
		proxy_pass_request_body           off;
		more
	}
	location / {
		auth_request /oauth2/auth;
		error_page 401 = @oauth2_signin;
		proxy_pass http://127.0.0.1:3000/;
	}
	location @oauth2_signin {
		return 302 /oauth2/sign_in?rd=$scheme://$host$request_uri;
	}`

// oauth2Proxied is that nginx in front of wiki.localhost and open.localhost, with a
// gate inside Caddy behind inline.localhost.
func oauth2Proxied(t *testing.T, more string) *topology {
	top := newTopology(t)
	sites := regexp.MustCompile(`(?s)\t\tsite wiki\.localhost.*?\n\t\t\}\n`)
	top.run(sites.ReplaceAllLiteralString(top.config, `
		site wiki.localhost wikist@example.com {
			trust 192.168.0.0/16 127.0.0.77
		}
		site open.localhost *@example.com {
			public /pub/*
		}
`) + top.ports.Replace(`
http://inline.localhost:9091 {
	bind 127.0.0.1
	gatehouse wikist@example.com {
		origin http://inline.localhost:8080
		trust 192.168.0.0/16 127.0.0.77
	}
	reverse_proxy 127.0.0.1:3000
}
http://narrow.localhost:9091 {
	bind 127.0.0.1
	gatehouse any {
		origin http://narrow.localhost:8080
		client_ip 192.168.0.0/16 127.0.0.77 127.0.0.1
		public /pub/*
	}
	reverse_proxy 127.0.0.1:3000
}
`))
	servers := "server {\nlisten 127.0.0.1:8080;\nserver_name wiki.localhost open.localhost;" + strings.Replace(oauth2Nginx, "more", more, 1) + "\n}\n" +
		"server {\nlisten 127.0.0.1:8080;\nserver_name inline.localhost narrow.localhost;\nlocation / {\nproxy_set_header Host $host;\nproxy_set_header X-Real-IP $remote_addr;\n" +
		more + "\nproxy_pass http://127.0.0.1:9091;\n}\n}\n"
	global, _, _ := strings.Cut(top.example("nginx/nginx.conf"), "    # Whatever names no site")
	if err := os.WriteFile(filepath.Join(top.dir, "nginx.conf"), []byte(global+top.ports.Replace(servers)+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	top.processIn("nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off;")
	return top
}

// reaches tells whether a request of a client with another address of this machine gets
// to the app.
func (top *topology) reaches(client, host, path string, headers ...string) bool {
	top.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", top.proxy)
	if err != nil {
		top.Fatal(err)
	}
	defer conn.Close()
	r, err := http.NewRequest("GET", "http://"+top.proxy+path, nil)
	if err != nil {
		top.Fatal(err)
	}
	r.Host = host
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	top.app.requests()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		top.Fatal(err)
	}
	_ = answer.Body.Close()
	reached := len(top.app.requests()) > 0
	if reached != (answer.StatusCode == 200) {
		top.Errorf("%s%s, %q: %d, and the app was reached: %v", host, path, headers, answer.StatusCode, reached)
	}
	return reached
}

// Nobody is at home by an address of their own choosing, whether nginx sets one header
// or the other, and whoever is passes where both say so.
func TestTrustBehindOAuth2ProxysNginx(t *testing.T) {
	forged := [][]string{
		{"X-Forwarded-For: 192.168.1.1"}, {"X-Forwarded-For: 127.0.0.77"}, {"X-Forwarded-For: 10.1.1.1, 192.168.1.1"}, {"X-Forwarded-For: 192.168.1.1", "X-Real-IP: 192.168.1.1"},
		{"X-Forwarded-For: 192.168.1.1", "Forwarded: for=192.168.1.1"}, {"X-Forwarded-For: 192.168.1.1, 127.0.0.1"}, {"X-Real-IP: 192.168.1.1"}, {"X-Forwarded-For: 192.168.1.1", "Connection: X-Real-IP"},
	}
	for more, atHome := range map[string]bool{
		"": false, // who is at home nobody says
		"proxy_set_header X-Forwarded-For $remote_addr;":                                              true,
		"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;":                                true,
		"proxy_set_header X-Real-IP $http_x_real_ip;\nproxy_set_header X-Forwarded-For $remote_addr;": true,
	} {
		t.Run(more, func(t *testing.T) {
			top := oauth2Proxied(t, more)
			for _, host := range []string{"wiki.localhost", "inline.localhost"} {
				if got := top.reaches("127.0.0.77", host, "/"); got != atHome {
					t.Errorf("%s: at home: %v", host, got)
				}
				for _, headers := range forged {
					if top.reaches("127.0.0.5", host, "/", headers...) {
						t.Errorf("%s: %q passes", host, headers)
					}
				}
			}
			// Who comes through another listed proxy, as from this address, is whom that names:
			// X-Real-IP is the other proxy. That is no sign-in saved, but nobody is shut out.
			if top.reaches("127.0.0.1", "inline.localhost", "/", "X-Forwarded-For: 127.0.0.77") || !top.reaches("127.0.0.1", "narrow.localhost", "/pub/x", "X-Forwarded-For: 127.0.0.77") {
				t.Error("through two listed proxies")
			}
			// Nor is a network that alone may come (client_ip), of which the proxy is.
			for _, headers := range forged {
				if says := atHome || strings.HasPrefix(headers[0], "X-Forwarded-For"); says && top.reaches("127.0.0.5", "narrow.localhost", "/pub/x", headers...) {
					t.Errorf("client_ip: %q passes", headers)
				}
			}
		})
	}
}

// The site that nginx routes to is the one that is judged, whatever its clients say.
func TestSitesBehindOAuth2ProxysNginx(t *testing.T) {
	for more, pinned := range map[string]bool{"": false, "proxy_set_header X-Forwarded-Host $host;": true} {
		t.Run(more, func(t *testing.T) {
			top := oauth2Proxied(t, more)
			if !top.reaches("127.0.0.5", "open.localhost", "/pub/x") || top.reaches("127.0.0.5", "wiki.localhost", "/pub/x") {
				t.Fatal("the public path of one site alone is open")
			}
			for _, headers := range [][]string{
				{"X-Forwarded-Host: open.localhost"}, {"X-Forwarded-Host: OPEN.localhost"}, {"X-Forwarded-Host: open.localhost:8080"}, {"X-Forwarded-Host: open.localhost."},
				{"X-Forwarded-Host: open.localhost", "X-Forwarded-Proto: http"}, {"X-Forwarded-Host: open.localhost", "X-Forwarded-Proto: https"},
			} {
				if top.reaches("127.0.0.5", "wiki.localhost", "/pub/x", headers...) || top.reaches("127.0.0.5", "wiki.localhost", "/pub/x?site=open.localhost", headers...) {
					t.Errorf("%q opens another site", headers)
				}
			}
			if top.reaches("127.0.0.5", "open.localhost", "/pub/x", "X-Forwarded-Host: wiki.localhost") != pinned {
				t.Error("a question that contradicts itself is not refused, or one that does not is")
			}
		})
	}
}
