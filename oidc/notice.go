package oidc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
)

const (
	// noticeTimeout is how long an app may take to hear that a person has signed
	// out.
	noticeTimeout = 5 * time.Second
	// logoutTokenLifetime is how long what it is told is good.
	logoutTokenLifetime = 2 * time.Minute
)

// logoutClaims are the claims of a logout token (Back-Channel Logout, 2.4). It
// has no nonce, so that nothing takes it for an ID token.
type logoutClaims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Session  string              `json:"sid"`
	Events   map[string]struct{} `json:"events"`
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// newPoster is what apps are told with. Where it leads stands in the
// configuration, which may name loopback and private addresses; an answer leads
// nowhere else.
func newPoster() *http.Client {
	return &http.Client{
		Timeout:       noticeTimeout,
		Transport:     &http.Transport{TLSHandshakeTimeout: noticeTimeout, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Notify tells a client that a session has ended. It is a grant.Means' Notify.
func (h *Handler) Notify(ctx context.Context, n grant.Notice) error {
	now := h.service.Now()
	token, err := h.service.Core().Keys().Sign(ctx, logoutTokenKind(n.Client), logoutClaims{
		Issuer: n.Issuer, Subject: n.Subject, Audience: n.Client.ID, IssuedAt: now.Unix(), Expires: now.Add(logoutTokenLifetime).Unix(),
		ID: keyring.RandomID(), Session: n.Session, Events: map[string]struct{}{logoutEvent: {}},
	})
	if err != nil {
		return err
	}
	body := url.Values{"logout_token": {token}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Client.Backchannel, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", h.agent)
	answer, err := h.post.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", grant.ErrNoAnswer, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10))
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("it answered %s", answer.Status)
	}
	return nil
}

// Close lets go of the connections to apps.
func (h *Handler) Close() { h.post.CloseIdleConnections() }
