package cli

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
)

// Root is where all of the admin API stands.
const Root = "/gatehouse/"

// Endpoint is the admin endpoint of a running server.
type Endpoint struct {
	Name    string // as people write it
	Network string // tcp or unix, as net.Dial takes it
	Address string
}

// URL is where the endpoint's paths begin.
func (e Endpoint) URL() string {
	if strings.HasPrefix(e.Network, "unix") {
		return "http://127.0.0.1"
	}
	return "http://" + e.Address
}

// Client connects to the endpoint, whatever a URL says.
func (e Endpoint) Client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, e.Network, e.Address)
			},
		},
		// A site may answer so, an admin endpoint never does.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NotAnAddress refuses what can't be the address of an admin endpoint.
func NotAnAddress(address string) error {
	return &Failure{ExitUsage, fmt.Sprintf("%q is not the address of an admin endpoint", address), "write for example --address localhost:2019 or --address unix//run/admin.sock"}
}

// TurnOn says how to have an admin endpoint that nobody else reaches.
const TurnOn = `write instead of admin off, in the global options, for example
    admin unix//run/gatehouse/admin.sock
so that only who may open that file reaches it, restart the server, and say
    --address unix//run/gatehouse/admin.sock`

// client talks to the admin endpoint of a running server. It sends neither
// Origin nor fetch metadata, by which Caddy knows browsers.
type client struct {
	Endpoint
	http *http.Client
}

// call makes one request. in is sent as JSON unless it is nil or a reader; a
// 2xx answer is decoded into out unless that is nil.
func (c *client) call(method, path string, in, out any) error {
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
		return fmt.Errorf("the answer of %s broke off: %w", c.Name, err)
	}
	return nil
}

// open makes one request and returns a 2xx answer.
func (c *client) open(method, path string, in any) (*http.Response, error) {
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
func (c *client) post(path string, in any) (io.ReadCloser, error) {
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

func (c *client) send(method, path string, in any) (*http.Response, error) {
	body, ok := in.(io.Reader)
	if !ok && in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, c.URL()+Root+path, body)
	if err != nil {
		return nil, NotAnAddress(c.Name)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return resp, nil
}

func (c *client) unreachable(err error) error {
	var failed *net.OpError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return &Failure{ExitFailed, fmt.Sprintf("no server answers at its admin endpoint %s: %v", c.Name, err),
		"Is it running? If the endpoint is elsewhere, say where with --address, or with --config and\nthe configuration that it runs with. If that says admin off, " + TurnOn}
}

// refused reads why an answer is no.
func (c *client) refused(resp *http.Response) error {
	var answer struct {
		Error string `json:"error"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	isText := json.Unmarshal(text, &answer) == nil && answer.Error != ""
	switch {
	case isText && resp.StatusCode != http.StatusUnauthorized: // which the admin API never is
	case !isText && resp.StatusCode == http.StatusNotFound:
		return &Failure{Code: ExitFailed, Problem: fmt.Sprintf("the server at %s is a Caddy without Gatehouse, or of a version without this command", c.Name)}
	default:
		return &Failure{ExitFailed, fmt.Sprintf("what answers at %s (%s) is not the admin endpoint", c.Name, resp.Status),
			"Say where that is with --address, or with --config and the configuration that the server runs with."}
	}
	code := ExitNo
	switch {
	case resp.StatusCode >= 500:
		code = ExitFailed
	case resp.StatusCode == http.StatusBadRequest: // no address, no URL
		code = ExitUsage
	}
	return &refusedCall{Failure{Code: code, Problem: answer.Error}, resp.StatusCode}
}

// refusedCall is a no of the server.
type refusedCall struct {
	Failure
	status int
}

// As lets errors.As find the Failure.
func (e *refusedCall) As(target any) bool {
	known, ok := target.(**Failure)
	if ok {
		*known = &e.Failure
	}
	return ok
}

func isNotFoundCall(err error) bool {
	refused := new(refusedCall)
	return errors.As(err, &refused) && refused.status == http.StatusNotFound
}
