package streambird_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-auth/gatehouse/api/apitest"
)

const (
	verifyPath = root + "sessions/verify"
	deletePath = root + "sessions/delete"
)

func TestSessions(t *testing.T) {
	w := house(t, nil)
	s := w.signIn(alice)
	token, jwt, id := s.String("session_token"), s.String("session_jwt"), s.String("session.id")
	t.Run("STREAM-74", func(t *testing.T) {
		a := want(t, w.post(verifyPath, object{"session_token": token}), 200)
		if a.String("session_token") != token || a.String("session.id") != id || a.String("session_jwt") == "" {
			t.Errorf("answer %s", a.Text)
		}
		f := a.Get("session.factors").([]any)[0].(object)
		if m := f["method"].(object); f["type"] != "otp" || m["email"] != alice || m["method_id"] != m["email_id"] || m["method_type"] != "email" || m["last_verified_at"] == nil {
			t.Errorf("factor %v", f)
		}
	})
	t.Run("STREAM-75", func(t *testing.T) {
		w.Sleep(2 * time.Second)
		a := want(t, w.post(verifyPath, object{"session_jwt": jwt}), 200)
		if a.Get("session_token") != nil || a.String("session.id") != id || a.String("session_jwt") == "" || a.String("session_jwt") == jwt {
			t.Errorf("answer %s", a.Text)
		}
	})
	t.Run("STREAM-76", func(t *testing.T) {
		refused(t, w.post(verifyPath, object{}), 400, "invalid_request")
		refused(t, w.post(verifyPath, object{"session_expires_in": 60}), 400, "invalid_request")
	})
	t.Run("STREAM-77", func(t *testing.T) {
		for field, id := range map[string]string{"session_token": token, "session_jwt": jwt} {
			w.Sleep(time.Second)
			a := want(t, w.post(verifyPath, object{field: id, "session_expires_in": 600}), 200)
			if left := a.Get("session.expires_at").(float64) - float64(w.Now().Unix()); left < 35_990 || left > 36_000 {
				t.Errorf("%v s are left", left)
			}
		}
		for _, bad := range []int{4, 525601} {
			refused(t, w.post(verifyPath, object{"session_token": token, "session_expires_in": bad}), 400, "invalid_request")
		}
	})
	t.Run("STREAM-78", func(t *testing.T) {
		before := w.post(verifyPath, object{"session_token": token})
		w.Sleep(30 * time.Second)
		after := w.post(verifyPath, object{"session_token": token})
		for _, field := range []string{"session.last_active_at", "session.updated_at"} {
			if moved := after.Get(field).(float64) - before.Get(field).(float64); moved < 29 || moved > 32 {
				t.Errorf("%s moved by %v s", field, moved)
			}
		}
		if after.Get("session.expires_at") != before.Get("session.expires_at") || after.Get("session.started_at") != before.Get("session.started_at") {
			t.Errorf("answer %s", after.Text)
		}
	})
	t.Run("STREAM-80 STREAM-81", func(t *testing.T) {
		w.signIn(alice)
		a := want(t, w.get(root+"sessions/list?user_id="+s.String("user_id")), 200)
		list := a.Get("sessions").([]any)
		if len(list) != 2 || list[0].(object)["id"] != id || list[0].(object)["session_token"] != token {
			t.Errorf("answer %s", a.Text)
		}
		refused(t, w.get(root+"sessions/list"), 400, "invalid_request")
		if a := want(t, w.get(root+"sessions/list?user_id=user_x"), 200); len(a.Get("sessions").([]any)) != 0 {
			t.Errorf("answer %s", a.Text)
		}
	})
	t.Run("STREAM-79", func(t *testing.T) {
		for field, bad := range map[string]string{"session_token": strings.Repeat("x", 64), "session_jwt": jwt[:len(jwt)-4]} {
			refused(t, w.post(verifyPath, object{field: bad}), 401, "invalid_session")
		}
		refused(t, w.call("POST", verifyPath, object{"session_token": token}, apitest.TestKey), 401, "invalid_session")
		refused(t, w.call("POST", verifyPath, object{"session_jwt": jwt}, apitest.OtherKey), 401, "invalid_session")
		short := want(t, w.post(links+"verify", object{"token": w.token(bob), "session_expires_in": 5}), 200)
		w.Sleep(5*time.Minute + time.Second)
		refused(t, w.post(verifyPath, object{"session_token": short.String("session_token")}), 401, "invalid_session")
		refused(t, w.post(verifyPath, object{"session_jwt": jwt}), 401, "invalid_session") // the JWT is too old, the session is not
		want(t, w.post(verifyPath, object{"session_token": token}), 200)
	})
}

func TestDeleteSession(t *testing.T) {
	w := house(t, nil)
	del := func(body object) apitest.Answer { return w.call("DELETE", deletePath, body, apitest.LiveKey) }
	t.Run("STREAM-82 STREAM-83 STREAM-85", func(t *testing.T) {
		for _, field := range []string{"session_token", "session_jwt", "session_id"} {
			s := w.signIn(alice)
			value := s.String(field)
			if field == "session_id" {
				value = s.String("session.id")
			}
			a := want(t, del(object{field: value}), 200)
			if a.String("message") != "Successfully deleted session" {
				t.Errorf("answer %s", a.Text)
			}
			refused(t, w.post(verifyPath, object{"session_token": s.String("session_token")}), 401, "invalid_session")
			refused(t, del(object{"session_id": s.String("session.id")}), 404, "not_found")
		}
	})
	t.Run("STREAM-84", func(t *testing.T) {
		s := w.signIn(alice)
		refused(t, del(object{"session_token": s.String("session_token"), "session_id": s.String("session.id")}), 400, "invalid_request")
		refused(t, del(object{}), 400, "invalid_request")
		want(t, w.post(verifyPath, object{"session_token": s.String("session_token")}), 200)
	})
	t.Run("STREAM-95", func(t *testing.T) {
		s := w.signIn(alice)
		jwt := s.String("session_jwt")
		want(t, del(object{"session_token": s.String("session_token")}), 200)
		check(t, w, jwt)
		refused(t, w.post(verifyPath, object{"session_jwt": jwt}), 401, "invalid_session")
	})
	t.Run("a session is the core's", func(t *testing.T) {
		s := w.signIn(alice)
		if ended, err := w.Core.Sessions().End(t.Context(), strings.TrimPrefix(s.String("session.id"), "sess_"), "admin"); !ended || err != nil {
			t.Fatal(ended, err)
		}
		refused(t, w.post(verifyPath, object{"session_token": s.String("session_token")}), 401, "invalid_session")
	})
}

// check verifies a JWT with the keys that the API publishes and nothing else,
// and returns its header and claims.
func check(t testing.TB, w *world, jwt string) (jose.Header, object) {
	t.Helper()
	a := want(t, w.Do("GET", root+"jwks/default?api_key="+apitest.LiveKey, nil), 200)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.Text), &set); err != nil {
		t.Fatal(err)
	}
	sig, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Key(sig.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys for kid %s", len(keys), sig.Signatures[0].Header.KeyID)
	}
	data, err := sig.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims object
	if err := json.Unmarshal(data, &claims); err != nil {
		t.Fatal(err)
	}
	return sig.Signatures[0].Header, claims
}

func TestSessionJWT(t *testing.T) {
	w := house(t, nil)
	s := w.signIn(alice)
	header, claims := check(t, w, s.String("session_jwt"))
	t.Run("STREAM-86", func(t *testing.T) {
		if header.Algorithm != "RS256" || !strings.HasPrefix(header.KeyID, "jwk_") || header.ExtraHeaders["typ"] != "JWT" {
			t.Errorf("header %+v", header)
		}
	})
	t.Run("STREAM-87 STREAM-88", func(t *testing.T) {
		iat, exp := claims["iat"].(float64), claims["exp"].(float64)
		if exp-iat != 300 || claims["nbf"] != claims["iat"] || claims["jti"] != s.String("session.id") || !strings.HasSuffix(claims["iss"].(string), "/shop") {
			t.Errorf("claims %v", claims)
		}
		short := want(t, w.post(links+"verify", object{"token": w.token(bob), "session_expires_in": 5}), 200)
		w.Sleep(4 * time.Minute)
		late := want(t, w.post(verifyPath, object{"session_token": short.String("session_token")}), 200)
		if _, c := check(t, w, late.String("session_jwt")); c["exp"] != short.Get("session.expires_at") {
			t.Errorf("the JWT outlives its session: %v", c["exp"])
		}
	})
	t.Run("STREAM-89 STREAM-90", func(t *testing.T) {
		for _, claim := range []string{"session", "https://streambird.io/jwt/session"} {
			in, _ := claims[claim].(object)
			if in["id"] != s.String("session.id") || in["user_id"] != s.String("user_id") || in["factors"] == nil || in["session_token"] != nil {
				t.Errorf("claim %s: %v", claim, in)
			}
		}
	})
	t.Run("whose it is", func(t *testing.T) {
		for key, whose := range map[string]string{apitest.LiveKey: "/shop", apitest.TestKey: "/shop/test", apitest.OtherKey: "/other"} {
			want(t, w.call("POST", users+"create", object{"email": "dave@example.com"}, key), 200)
			token := want(t, w.call("POST", links+"create", object{"email": "dave@example.com"}, key), 200).String("token")
			s := want(t, w.call("POST", links+"verify", object{"token": token, "session_expires_in": 60}, key), 200)
			if _, c := check(t, w, s.String("session_jwt")); c["iss"] != w.Origin.Host()+whose {
				t.Errorf("iss is %v, want …%s", c["iss"], whose)
			}
		}
	})
	t.Run("forged", func(t *testing.T) {
		parts := strings.Split(s.String("session_jwt"), ".")
		other := strings.Split(w.signIn(carol).String("session_jwt"), ".")
		for _, bad := range []string{parts[0] + "." + other[1] + "." + parts[2], parts[0] + "." + parts[1] + ".", "eyJhbGciOiJub25lIn0." + parts[1] + "."} {
			refused(t, w.post(verifyPath, object{"session_jwt": bad}), 401, "invalid_session")
		}
	})
}

func TestJWKS(t *testing.T) {
	w := house(t, nil)
	t.Run("STREAM-91 STREAM-92", func(t *testing.T) {
		for _, key := range []string{apitest.LiveKey, apitest.LivePub, apitest.TestKey} {
			one := want(t, w.Do("GET", root+"jwks/default?api_key="+key, nil), 200)
			two := want(t, w.call("GET", root+"jwks/default", nil, key), 200)
			k := one.Get("keys").([]any)[0].(object)
			if one.Text != two.Text || k["kty"] != "RSA" || k["use"] != "sig" || k["alg"] != "RS256" || k["n"] == "" || k["e"] == "" || k["d"] != nil {
				t.Errorf("answers %s and %s", one.Text, two.Text)
			}
		}
	})
	t.Run("by app", func(t *testing.T) {
		want(t, w.Do("GET", root+"jwks/shop", nil), 200)
		want(t, w.Do("GET", root+"jwks/app_shop", nil), 200)
		refused(t, w.Do("GET", root+"jwks/nosuch", nil), 404, "not_found")
	})
	t.Run("refused", func(t *testing.T) {
		refused(t, w.Do("GET", root+"jwks/default", nil), 401, "unauthorized")
		refused(t, w.Do("GET", root+"jwks/default?api_key=x", nil), 401, "unauthorized")
	})
	t.Run("STREAM-94", func(t *testing.T) {
		if strings.Contains(w.Log.String(), apitest.LiveKey) {
			t.Error("the log has the key")
		}
	})
}

// A JWT that another node has signed a moment ago, with a key that can't be read here,
// is no session that is over.
func TestAnotherNodesJWTWhileTheStoreIsAway(t *testing.T) {
	w := house(t, func(h *apitest.House) { h.Nodes = true })
	jwt := object{"session_jwt": apitest.FromAnotherNode(t, w.signIn(alice).String("session_jwt"))}
	refused(t, w.post(verifyPath, jwt), 401, "invalid_session")
	w.Store.FailWith(errors.New("away"))
	for path, method := range map[string]string{verifyPath: "POST", deletePath: "DELETE"} {
		if a := w.call(method, path, jwt, apitest.LiveKey); a.Status != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, a.Status, a.Header)
		}
	}
}
