// Package outgoing is what senders that speak HTTP share: a client that waits
// for no one and follows nothing, and what its failures mean.
//
// It keeps nothing, no connection either.
package outgoing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/outbox"
)

// Timeout bounds one request.
const Timeout = 20 * time.Second

// connectTimeout bounds the TCP handshake, and TLS has as long: who is silent there
// keeps messages from the next sender.
const connectTimeout = 10 * time.Second

// MaxAnswer bounds what is read of an answer, in bytes.
const MaxAnswer = 64 << 10

// Client returns a client that goes by the proxy that HTTPS_PROXY names, follows
// no redirect, since the credentials are for one host, and keeps no connection between messages, so that a replaced
// configuration leaves nothing behind.
func Client(timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the proxy %s (HTTPS_PROXY) answered HTTP %d", proxy.Host, resp.StatusCode)
		}
		return nil
	}
	transport.DialContext = (&net.Dialer{Timeout: connectTimeout}).DialContext
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ParseURL reads the address of a service. Plain http is for localhost only:
// credentials or codes go with every request.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("not a URL like https://sms.example.com/send")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLocalhost(u.Hostname())) {
		return nil, errors.New("it must begin with https://; plain http would show the messages to everybody between")
	}
	return u, nil
}

func isLocalhost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Watch has the requests of a context watched: wrote tells whether the last of them was
// handed over whole. Without an answer to it the service may have done as asked.
func Watch(ctx context.Context) (watched context.Context, wrote func() bool) {
	var whole atomic.Bool
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { whole.Store(false) },
		WroteRequest: func(info httptrace.WroteRequestInfo) { whole.Store(info.Err == nil) },
	}), whole.Load
}

// Do sends a request. An error is one for NoAnswer.
func Do(client *http.Client, r *http.Request) (*http.Response, error) {
	ctx, wrote := Watch(r.Context())
	resp, err := client.Do(r.WithContext(ctx))
	if err != nil && wrote() {
		return nil, &unanswered{err}
	}
	return resp, err
}

type unanswered struct{ error }

func (u *unanswered) Unwrap() error { return u.error }

// NoAnswer is what a failed request means: the service itself is down, and may
// all the same have done as asked. The
// text holds its URL without query and what the network or TLS said, no more.
func NoAnswer(sender string, err error) *outbox.SendError {
	what := "the request failed"
	var network interface{ Timeout() bool }
	var failed *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		what = "stopped"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		what = "no answer in time"
	case errors.As(err, &failed):
		what = failed.Err.Error()
	}
	return &outbox.SendError{Fault: outbox.SenderDown, Reason: sender + ": " + what, Maybe: errors.As(err, new(*unanswered)), Err: err}
}

// longestWait bounds what Retry-After can ask for.
const longestWait = time.Hour

// RetryAfter is how long an answer asks not to be asked again: seconds or a
// date (RFC 9110 section 10.2.3). 0: it does not say.
func RetryAfter(resp *http.Response, now time.Time) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return min(time.Duration(min(seconds, int(longestWait/time.Second)))*time.Second, longestWait)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), longestWait)
	}
	return 0
}
