package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// bearer makes a key, publishes it in a file, and signs tokens.
type bearer struct {
	key  *ecdsa.PrivateKey
	jwks string // path
}

func newBearer(t *testing.T) *bearer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &bearer{key, tlstest.WriteFile(t, t.TempDir(), "jwks.json", set)}
}

func (b *bearer) token(t *testing.T, subject string, good time.Duration) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: b.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	token, err := jwt.Signed(s).Claims(map[string]any{"sub": subject, "aud": "ringmq", "iat": now.Unix(), "exp": now.Add(good).Unix(), "scope": "all"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (b *bearer) mechanism(t *testing.T, subject string) sasl.Mechanism {
	return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
		return oauth.Auth{Token: b.token(t, subject, time.Minute)}, nil
	})
}

func startOAuth(t *testing.T, b *bearer, overrides ...string) *saslNode {
	return startSASL(t, append([]string{"sasl.enabled.mechanisms=PLAIN,OAUTHBEARER", "sasl.oauthbearer.jwks.endpoint.url=file://" + b.jwks,
		"sasl.oauthbearer.expected.audience=ringmq"}, overrides...)...)
}

// TestOAuthFranz: the subject of a token produces and consumes what it may; a token of another key is refused, in words that a client understands, and no
// token is in the log.
func TestOAuthFranz(t *testing.T) {
	b := newBearer(t)
	n := startOAuth(t, b)
	createAs(t, n.client(t, n.open, asAdmin()), "t")
	n.allow(t, "ann", "t")
	ctx := testContext(t)
	for _, addr := range []string{n.open, n.secure} {
		cl := n.client(t, addr, b.mechanism(t, "ann"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(addr)}).FirstErr(); err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		waittest.Until(t, 30*time.Second, "the record is consumed", func() bool {
			found := false
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { found = found || string(r.Value) == addr })
			return found
		})
	}
	if err := n.client(t, n.open, b.mechanism(t, "ben")).ProduceSync(ctx, &kgo.Record{Topic: "t"}).FirstErr(); err == nil {
		t.Error("ben, who may nothing, has produced")
	}
	other := newBearer(t)
	if err := n.client(t, n.open, other.mechanism(t, "ann")).Ping(ctx); err == nil {
		t.Errorf("a token of another key: %v", err)
	}
	waittest.Until(t, 30*time.Second, "the log says why", func() bool { return strings.Contains(n.logs.String(), "the signature is wrong") })
	if strings.Contains(n.logs.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

// TestOAuthExchange: the messages of RFC 7628, good and bad, byte by byte; and how long a session lasts.
func TestOAuthExchange(t *testing.T) {
	b := newBearer(t)
	n := startOAuth(t, b, "connections.max.reauth.ms=3600000")
	try := func(first string) (*rawConn, *kmsg.SASLAuthenticateResponse) {
		t.Helper()
		c := n.dial(t)
		c.ask(t, build(kmsg.NewPtrSASLHandshakeRequest(), func(q *kmsg.SASLHandshakeRequest) { q.Version, q.Mechanism = 1, "OAUTHBEARER" }))
		return c, c.ask(t, token(first)).(*kmsg.SASLAuthenticateResponse)
	}
	const end = "\x01\x01"
	ann := b.token(t, "ann", time.Minute)
	for name, first := range map[string]string{
		"plain":         "n,,\x01auth=Bearer " + ann + end,
		"lower case":    "n,,\x01auth=bearer " + ann + end,
		"its own name":  "n,a=ann,\x01auth=Bearer " + ann + end,
		"an extension":  "n,,\x01auth=Bearer " + ann + "\x01logicalCluster=x" + end,
		"another order": "n,,\x01a=b\x01auth=Bearer " + ann + end,
	} {
		_, resp := try(first)
		if resp.ErrorCode != 0 || len(resp.SASLAuthBytes) != 0 {
			t.Errorf("%s: %+v", name, resp)
		}
		if ms := resp.SessionLifetimeMillis; ms <= 0 || ms > 60_000 {
			t.Errorf("%s: a session of %d ms with a token that is good for a minute", name, ms)
		}
	}
	for name, first := range map[string]string{
		"channel binding": "p=tls-unique,,\x01auth=Bearer " + ann + end, "no token": "n,,\x01auth=Bearer " + end, "no scheme": "n,,\x01auth=" + ann + end, "two": "n,,\x01auth=Bearer " +
			ann + "\x01auth=Bearer " + ann + end, "no end": "n,,\x01auth=Bearer " + ann, "empty": "", "no pair": "n,,\x01auth" + end, "another's name": "n,b=ann,\x01auth=Bearer " + ann + end,
	} {
		if _, resp := try(first); resp.ErrorCode != 58 {
			t.Errorf("%s: %+v", name, resp)
		}
	}
	for name, first := range map[string]string{"expired": "n,,\x01auth=Bearer " + b.token(t, "ann", -time.Minute) + end, "not its name": "n,a=admin,\x01auth=Bearer " + ann + end} {
		c, resp := try(first)
		if resp.ErrorCode != 0 || string(resp.SASLAuthBytes) != `{"status":"invalid_token"}` {
			t.Errorf("%s: %+v", name, resp)
		}
		if resp := c.ask(t, token("\x01")).(*kmsg.SASLAuthenticateResponse); resp.ErrorCode != 58 {
			t.Errorf("%s: %+v", name, resp)
		}
	}
}

func token(s string) kmsg.Request {
	return build(kmsg.NewPtrSASLAuthenticateRequest(), func(q *kmsg.SASLAuthenticateRequest) { q.Version, q.SASLAuthBytes = 1, []byte(s) })
}

// TestOAuthJava: Kafka's own client with a token out of a file.
func TestOAuthJava(t *testing.T) {
	kit := javakit.ForTest(t)
	b := newBearer(t)
	n := startOAuth(t, b)
	createAs(t, n.client(t, n.open, asAdmin()), "t")
	n.allow(t, "ann", "t")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(b.token(t, "ann", time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	properties := tlstest.WriteFile(t, n.dir, "ann", []byte(strings.Join([]string{"security.protocol=SASL_SSL", "sasl.mechanism=OAUTHBEARER",
		"sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler", "sasl.oauthbearer.token.endpoint.url=file://" + file,
		"sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
		"ssl.truststore.type=PEM", "ssl.truststore.location=" + tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM())}, "\n")))
	r, err := kit.Run(testContext(t), javakit.Command{Tool: "kafka-console-producer", Stdin: strings.NewReader("x\n"),
		Args: []string{"--bootstrap-server", n.secure, "--command-config", properties, "--topic", "t"},
		JVM:  []string{"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://" + file, "-Dorg.apache.kafka.sasl.oauthbearer.allowed.files=" + file}})
	if err != nil || r.ExitCode != 0 || strings.Contains(r.Stderr, "ERROR") {
		t.Fatalf("%v %s", err, r)
	}
	cl := n.client(t, n.open, asAdmin(), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if rs := cl.PollRecords(testContext(t), 1).Records(); len(rs) != 1 || string(rs[0].Value) != "x" {
		t.Errorf("%v", rs)
	}
}
