package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ringmq/ringmq/tools/waittest"
)

// issuer publishes its keys and signs tokens.
type issuer struct {
	*httptest.Server
	keys  atomic.Pointer[jose.JSONWebKeySet]
	asked atomic.Int32
	down  atomic.Bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.keys.Store(&jose.JSONWebKeySet{})
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		if i.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(i.keys.Load())
	}))
	t.Cleanup(i.Server.Close)
	return i
}

// add publishes another key.
func (i *issuer) add(t *testing.T, id string) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old := i.keys.Load()
	i.keys.Store(&jose.JSONWebKeySet{Keys: append([]jose.JSONWebKey{{Key: &key.PublicKey, KeyID: id, Use: "sig", Algorithm: string(jose.ES256)}}, old.Keys...)})
	return key
}

func sign(t *testing.T, algorithm jose.SignatureAlgorithm, key any, id string, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// run starts to read keys, and ends it with the test.
func run(t *testing.T, o KeysOptions) *Keys {
	k := NewKeys(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return k
}

func options(url string) KeysOptions {
	return KeysOptions{URL: url, Refresh: time.Hour, Backoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
}

func TestCheck(t *testing.T) {
	i := newIssuer(t)
	key := i.add(t, "k1")
	keys := run(t, options(i.URL))
	waittest.Until(t, 30*time.Second, "the keys are there", func() bool { return keys.set.Load() != nil })
	v := &Verifier{Keys: keys, Issuer: "https://issuer", Audience: []string{"kafka", "ringmq"}, Subject: "sub", Skew: 30 * time.Second}
	now := time.Unix(1_800_000_000, 0)
	claims := func(change ...any) map[string]any {
		c := map[string]any{"iss": "https://issuer", "aud": "ringmq", "sub": "ann", "iat": now.Unix(), "exp": now.Unix() + 300}
		for j := 0; j < len(change); j += 2 {
			if name := change[j].(string); change[j+1] == nil {
				delete(c, name)
			} else {
				c[name] = change[j+1]
			}
		}
		return c
	}
	es := func(change ...any) string { return sign(t, jose.ES256, key, "k1", claims(change...)) }
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := es()
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct{ token, err string }{
		"good":                      {good, ""},
		"one of several audiences":  {es("aud", []string{"x", "kafka"}), ""},
		"just expired":              {es("exp", now.Unix()-29), ""},
		"clock ahead":               {es("iat", now.Unix()+29), ""},
		"no time of issue":          {es("iat", nil), ""},
		"expired":                   {es("exp", now.Unix()-31), "expired at"},
		"no expiry":                 {es("exp", nil), "no claim exp"},
		"not yet":                   {es("nbf", now.Unix()+31), "from"},
		"issued in the future":      {es("iat", now.Unix()+31), "is a clock wrong?"},
		"another issuer":            {es("iss", "https://other"), "issued by"},
		"another audience":          {es("aud", "x"), "meant for"},
		"no subject":                {es("sub", nil), "claim sub"},
		"subject no text":           {es("sub", 7), "not of its type"},
		"another's signature":       {sign(t, jose.ES256, foreign, "k1", claims()), "signature"},
		"unknown key":               {sign(t, jose.ES256, foreign, "k9", claims()), "no key"},
		"shared secret":             {sign(t, jose.HS256, []byte(strings.Repeat("k", 32)), "k1", claims()), "not a JSON web token that is signed with a private key"},
		"no signature":              {"eyJhbGciOiJub25lIn0." + parts[1] + ".", "not a JSON web token"},
		"signature cut off":         {parts[0] + "." + parts[1] + ".", "signature"},
		"claims of another token":   {parts[0] + "." + strings.Split(es("sub", "admin"), ".")[1] + "." + parts[2], "signature"},
		"nonsense":                  {"abc", "not a JSON web token"},
		"empty":                     {"", "not a JSON web token"},
		"a key that is for nothing": {sign(t, jose.ES256, key, "", claims()), ""}, // the issuer has just one
	} {
		subject, until, err := v.Check(c.token, now)
		switch {
		case c.err == "" && (err != nil || subject != "ann" || until.IsZero()):
			t.Errorf("%s: %q %v %v", name, subject, until, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || subject != ""):
			t.Errorf("%s: %q, %v, want %q", name, subject, err, c.err)
		}
	}
}

// TestRotation: a token of a new key makes the keys be read again, a flood of made-up keys does not do so without pause, and the old keys stay good while the
// issuer cannot be reached.
func TestRotation(t *testing.T) {
	i := newIssuer(t)
	claims := map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	first := sign(t, jose.ES256, i.add(t, "k1"), "k1", claims)
	o := options(i.URL)
	o.Backoff = 100 * time.Millisecond
	v := &Verifier{Keys: run(t, o), Subject: "sub"}
	good := func(token string) bool {
		_, _, err := v.Check(token, time.Now())
		return err == nil
	}
	waittest.Until(t, 30*time.Second, "the first key is known", func() bool { return good(first) })
	second := sign(t, jose.ES256, i.add(t, "k2"), "k2", claims)
	waittest.Until(t, 30*time.Second, "the second key is known", func() bool { return good(second) })
	if !good(first) {
		t.Error("the first key is not known any more")
	}
	i.down.Store(true)
	before, begun := i.asked.Load(), time.Now()
	third := sign(t, jose.ES256, i.add(t, "k3"), "k3", claims)
	waittest.Until(t, 30*time.Second, "the issuer is asked a few times in vain", func() bool { return !good(third) && i.asked.Load() >= before+3 })
	if took := time.Since(begun); took < 2*o.MaxBackoff {
		t.Errorf("asked three times within %v", took)
	}
	if !good(first) || !good(second) {
		t.Error("the keys are gone with their issuer")
	}
	i.down.Store(false)
	waittest.Until(t, 30*time.Second, "the third key is known", func() bool { return good(third) })
}

func TestKeySets(t *testing.T) {
	secret := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: []byte("secret"), KeyID: "s"}}}
	for name, c := range map[string]struct {
		body any
		err  string
	}{
		"no keys":     {jose.JSONWebKeySet{}, "no public key"},
		"secret keys": {secret, "no public key"},
		"no set":      {[]int{1}, "not a JSON web key set"},
		"too large":   {strings.Repeat("x", maxKeySet), "larger than"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(c.body) }))
		if _, err := fetch(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
	}
	if _, err := fetch(t.Context(), "file:///does/not/exist"); err == nil {
		t.Error("a file that is not there")
	}
}

// FuzzCheck: no token upsets the check, and none is good by chance.
func FuzzCheck(f *testing.F) {
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AAAA")
	keys := NewKeys(options("file:///x"))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	keys.set.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "x"}}})
	v := &Verifier{Keys: keys, Subject: "sub"}
	f.Fuzz(func(t *testing.T, token string) {
		if subject, _, err := v.Check(token, time.Now()); err == nil {
			t.Errorf("%q is good, of %q", token, subject)
		}
	})
}
