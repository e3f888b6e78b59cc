package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// adminClient talks to the admin endpoint of a running server. It sends neither
// Origin nor fetch metadata, by which Caddy knows browsers.
type adminClient struct {
	address string // as people write it
	origin  string
	http    *http.Client
}

// newAdminClient finds the endpoint: address if given, else what the
// configuration says, else Caddy's own default.
func newAdminClient(address, config, adapter string) (*adminClient, error) {
	if address == "" && config != "" {
		var err error
		if address, err = adminAddress(config, adapter); err != nil {
			return nil, err
		}
	}
	if address == "" {
		address = caddy.DefaultAdminListen
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 || !parsed.IsUnixNetwork() && !strings.HasPrefix(parsed.Network, "tcp") {
		return nil, notAnAddress(address) // http://localhost:2019 is an address to Caddy, in the network "http:"
	}
	c := &adminClient{address: address, origin: "http://" + parsed.JoinHostPort(0)}
	if parsed.IsUnixNetwork() {
		parsed.Host, _, _ = strings.Cut(parsed.Host, "|") // permissions
		c.origin = "http://127.0.0.1"
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, parsed.Network, parsed.JoinHostPort(0))
			},
		},
		// A site may answer so, an admin endpoint never does.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func notAnAddress(address string) error {
	return &commandError{exitUsage, fmt.Sprintf("%q is not the address of an admin endpoint", address), "write for example --address localhost:2019 or --address unix//run/admin.sock"}
}

// adminAddress reads where a configuration has its admin endpoint.
func adminAddress(file, adapter string) (string, error) {
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return "", &commandError{code: exitUsage, problem: err.Error()}
	}
	var parts struct {
		Admin struct {
			Disabled bool   `json:"disabled"`
			Listen   string `json:"listen"`
		} `json:"admin"`
	}
	if err := json.Unmarshal(config, &parts); err != nil {
		return "", &commandError{code: exitUsage, problem: fmt.Sprintf("%s is not a configuration: %v", file, err)}
	}
	if parts.Admin.Disabled {
		return "", &commandError{exitFailed, file + " turns the admin endpoint off, which these commands talk to", turnOn}
	}
	return parts.Admin.Listen, nil
}

// turnOn says how to have an admin endpoint that nobody else reaches.
const turnOn = `write instead of admin off, in the global options, for example
    admin unix//run/gatehouse/admin.sock
so that only who may open that file reaches it, restart the server, and say
    --address unix//run/gatehouse/admin.sock`

// call makes one request. in is sent as JSON unless it is nil or a reader; a
// 2xx answer is decoded into out unless that is nil.
func (c *adminClient) call(method, path string, in, out any) error {
	resp, err := c.open(method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("the answer of %s broke off: %w", c.address, err)
	}
	return nil
}

// open makes one request and returns a 2xx answer.
func (c *adminClient) open(method, path string, in any) (*http.Response, error) {
	resp, err := c.send(method, path, in)
	if err != nil || resp.StatusCode/100 == 2 && isOurs(resp) {
		return resp, err
	}
	defer resp.Body.Close()
	return nil, c.refused(resp)
}

// isOurs tells an answer of the admin API from that of a site, which may be all
// that stands at an address.
func isOurs(resp *http.Response) bool {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return resp.StatusCode == http.StatusNoContent || kind == "application/json" || kind == "application/x-ndjson"
}

// post makes a request whose answer may also be a 502 that says more.
func (c *adminClient) post(path string, in any) (io.ReadCloser, error) {
	resp, err := c.send("POST", path, in)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusBadGateway {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, c.refused(resp)
}

func (c *adminClient) send(method, path string, in any) (*http.Response, error) {
	body, ok := in.(io.Reader)
	if !ok && in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, c.origin+adminRoot+path, body)
	if err != nil {
		return nil, notAnAddress(c.address)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return resp, nil
}

func (c *adminClient) unreachable(err error) error {
	var failed *net.OpError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return &commandError{exitFailed, fmt.Sprintf("no server answers at its admin endpoint %s: %v", c.address, err),
		"Is it running? If the endpoint is elsewhere, say where with --address, or with --config and\nthe configuration that it runs with. If that says admin off, " + turnOn}
}

// refused reads why an answer is no.
func (c *adminClient) refused(resp *http.Response) error {
	var answer struct {
		Error string `json:"error"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	isText := json.Unmarshal(text, &answer) == nil && answer.Error != ""
	switch {
	case isText && resp.StatusCode != http.StatusUnauthorized: // which the admin API never is
	case !isText && resp.StatusCode == http.StatusNotFound:
		return &commandError{code: exitFailed, problem: fmt.Sprintf("the server at %s is a Caddy without Gatehouse, or of a version without this command", c.address)}
	default:
		return &commandError{exitFailed, fmt.Sprintf("what answers at %s (%s) is not the admin endpoint", c.address, resp.Status),
			"Say where that is with --address, or with --config and the configuration that the server runs with."}
	}
	code := exitNo
	if resp.StatusCode >= 500 {
		code = exitFailed
	}
	return &refusedCall{commandError{code: code, problem: answer.Error}, resp.StatusCode}
}

// refusedCall is a no of the server.
type refusedCall struct {
	commandError
	status int
}

// As lets errors.As find the commandError.
func (e *refusedCall) As(target any) bool {
	known, ok := target.(**commandError)
	if ok {
		*known = &e.commandError
	}
	return ok
}

func isNotFoundCall(err error) bool {
	refused := new(refusedCall)
	return errors.As(err, &refused) && refused.status == http.StatusNotFound
}
