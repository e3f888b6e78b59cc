package smtptest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

func (s *session) AuthMechanisms() []string {
	if s.server.opts.Token != nil {
		return []string{"XOAUTH2"}
	}
	if s.server.opts.Username == "" {
		return nil
	}
	if s.server.opts.Mechanisms != nil {
		return s.server.opts.Mechanisms
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	s.server.mu.Lock()
	s.server.tried = append(s.server.tried, mech)
	s.server.mu.Unlock()
	password := func(user, password string) error {
		return s.signIn(mech, user, password == s.server.opts.Password)
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, pass string) error { return password(user, pass) }), nil
	case sasl.Login:
		return loginServer(password), nil
	case "XOAUTH2":
		if s.server.opts.Token != nil {
			return &xoauth2Server{session: s}, nil
		}
	case "CRAM-MD5":
		return s.cramServer(), nil
	case "SCRAM-SHA-256":
		return s.scramServer(), nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) signIn(mech, user string, proved bool) error {
	if err := s.apply(Auth); err != nil {
		return err
	}
	if code := s.server.opts.Broken[mech]; code != 0 {
		return answer(code, "not by "+mech)
	}
	if mech != "XOAUTH2" && user != s.server.opts.Username || !proved {
		return smtp.ErrAuthFailed
	}
	s.user = user
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.logins = append(s.server.logins, mech)
	return nil
}

// xoauth2Server is Google's and Microsoft's mechanism: a bad token is answered
// with a challenge that says why, and once that is answered with a refusal.
type xoauth2Server struct {
	session *session
	refused bool
}

func (x *xoauth2Server) Next(response []byte) ([]byte, bool, error) {
	if x.refused {
		if len(response) != 0 {
			return nil, false, &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "the challenge is answered with nothing"}
		}
		return nil, false, smtp.ErrAuthFailed
	}
	user, rest, _ := strings.Cut(strings.TrimPrefix(string(response), "user="), "\x01auth=Bearer ")
	token, ends := strings.CutSuffix(rest, "\x01\x01")
	if !ends || !x.session.server.opts.Token(user, token) {
		x.refused = true
		return []byte(`{"status":"401","schemes":"bearer","scope":"https://mail.google.com/","token":"` + token + `"}`), false, nil
	}
	return nil, true, x.session.signIn("XOAUTH2", user, true)
}

// turns is a mechanism written as one function per response of the client.
type turns []func(response []byte) (challenge []byte, err error)

func (t *turns) Next(response []byte) ([]byte, bool, error) {
	turn := (*t)[0]
	*t = (*t)[1:]
	challenge, err := turn(response)
	return challenge, len(*t) == 0, err
}

func loginServer(check func(user, password string) error) sasl.Server {
	var user string
	return &turns{
		func([]byte) ([]byte, error) { return []byte("Username:"), nil },
		func(r []byte) ([]byte, error) { user = string(r); return []byte("Password:"), nil },
		func(r []byte) ([]byte, error) { return nil, check(user, string(r)) },
	}
}

// cramServer is RFC 2195.
func (s *session) cramServer() sasl.Server {
	challenge := []byte("<" + rand.Text() + "@smtptest>")
	return &turns{
		func([]byte) ([]byte, error) { return challenge, nil },
		func(r []byte) ([]byte, error) {
			user, digest, _ := strings.Cut(string(r), " ")
			mac := hmac.New(md5.New, []byte(s.server.opts.Password))
			mac.Write(challenge)
			return nil, s.signIn("CRAM-MD5", user, digest == fmt.Sprintf("%x", mac.Sum(nil)))
		},
	}
}

// scramServer is RFC 5802 without channel binding.
func (s *session) scramServer() sasl.Server {
	const rounds = 4096
	salt := []byte(rand.Text())
	var user, transcript string
	return &turns{
		func([]byte) ([]byte, error) { return nil, nil },
		func(r []byte) ([]byte, error) {
			bare := strings.TrimPrefix(string(r), "n,,")
			name, nonce, _ := strings.Cut(bare, ",r=")
			user = strings.TrimPrefix(name, "n=")
			first := fmt.Sprintf("r=%s%s,s=%s,i=%d", nonce, rand.Text(), base64.StdEncoding.EncodeToString(salt), rounds)
			transcript = bare + "," + first
			return []byte(first), nil
		},
		func(r []byte) ([]byte, error) {
			final, proof, _ := strings.Cut(string(r), ",p=")
			salted, err := pbkdf2.Key(sha256.New, s.server.opts.Password, salt, rounds, sha256.Size)
			if err != nil {
				return nil, err
			}
			transcript += "," + final
			proved := bytes.Equal(clientProof(salted, transcript), decoded(proof))
			answer := "v=" + base64.StdEncoding.EncodeToString(sum(sum(salted, "Server Key"), transcript))
			return []byte(answer), s.signIn("SCRAM-SHA-256", user, proved)
		},
		func([]byte) ([]byte, error) { return nil, nil },
	}
}

func clientProof(salted []byte, transcript string) []byte {
	key := sum(salted, "Client Key")
	stored := sha256.Sum256(key)
	for i, b := range sum(stored[:], transcript) {
		key[i] ^= b
	}
	return key
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func decoded(s string) []byte {
	b, _ := base64.StdEncoding.DecodeString(s)
	return b
}
