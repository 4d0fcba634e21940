package engine_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// saslNode is a node with the standard authorizer and listeners with SASL, with TLS (SECURE) and without (OPEN). PLAIN knows admin, who may do everything, and ann.
type saslNode struct {
	*enginetest.Node
	ca           *tlstest.CA
	dir          string
	open, secure string
	logs         *waittest.Log
}

// Passwords, to be looked for where they should not be.
const (
	adminPassword = "adm1n-s3cret"
	annPassword   = "ann-s3cret"
	benPassword   = "ben-s3cret"
)

func startSASL(t *testing.T, overrides ...string) *saslNode {
	t.Helper()
	n := &saslNode{ca: tlstest.NewCA(t, "test CA"), dir: t.TempDir(), logs: &waittest.Log{}}
	port := strings.TrimPrefix(fixedPorts(t)[1], "controller.quorum.voters=1@127.0.0.1:")
	n.Node = enginetest.Start(t, enginetest.Options{Logger: n.logs.Logger(slog.LevelDebug), Overrides: append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0,OPEN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:" + port, "controller.quorum.voters=1@127.0.0.1:" + port,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OPEN:SASL_PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT", "inter.broker.listener.name=PLAINTEXT",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + tlstest.WriteFile(t, n.dir, "node.pem", n.ca.Issue("node", nil).PEM()),
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="` + adminPassword + `" user_ann="` + annPassword + `";`,
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:admin", "connection.failed.authentication.delay.ms=1",
	}, overrides...)})
	n.open, n.secure = n.Addr("OPEN").String(), n.Addr("SECURE").String()
	return n
}

func (n *saslNode) client(t *testing.T, addr string, m sasl.Mechanism, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.SASL(m), kgo.RequestRetries(1), kgo.RetryTimeout(10 * time.Second)}, opts...)
	if addr == n.secure {
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: n.ca.Pool()}))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func asAdmin() sasl.Mechanism { return plain.Auth{User: "admin", Pass: adminPassword}.AsMechanism() }

// allow gives a user the right to write to and read from a topic, and to read in all groups.
func (n *saslNode) allow(t *testing.T, user, topic string) {
	t.Helper()
	tn := &tlsNode{Node: n.Node}
	tn.allow(t, n.client(t, n.secure, asAdmin()), user, right{onTopic, topic, kmsg.ACLOperationWrite}, right{onTopic, topic, kmsg.ACLOperationRead}, right{onGroup, "*", kmsg.ACLOperationRead})
}

// addBen gives ben credentials of both kinds of SCRAM, by kafka's own request.
func (n *saslNode) addBen(t *testing.T) {
	t.Helper()
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	salt := []byte("salt of ben")
	for m, of := range map[kraft.ScramMechanism]func() hash.Hash{kraft.ScramSHA256: sha256.New, kraft.ScramSHA512: sha512.New} {
		salted, err := pbkdf2.Key(of, benPassword, salt, 4096, of().Size())
		if err != nil {
			t.Fatal(err)
		}
		req.Upsertions = append(req.Upsertions, kmsg.AlterUserSCRAMCredentialsRequestUpsertion{Name: "ben", Mechanism: int8(m), Iterations: 4096, Salt: salt, SaltedPassword: salted})
	}
	resp, err := req.RequestWith(testContext(t), n.client(t, n.secure, asAdmin()))
	if err != nil || resp.Results[0].ErrorCode != 0 {
		t.Fatalf("%v, %+v", err, resp)
	}
	waittest.Until(t, 30*time.Second, "the credentials are in the image", func() bool {
		_, one := kraft.Scram(n.Node.Node().Image(), "ben", kraft.ScramSHA256)
		_, other := kraft.Scram(n.Node.Node().Image(), "ben", kraft.ScramSHA512)
		return one && other
	})
}

// TestSASLFranz: users of every mechanism produce and consume with and without TLS, and only what they may; a wrong password and an unknown user are answered
// alike, and no password is in the log.
func TestSASLFranz(t *testing.T) {
	n := startSASL(t)
	createAs(t, n.client(t, n.open, asAdmin()), "t")
	n.addBen(t)
	for _, user := range []string{"ann", "ben"} {
		n.allow(t, user, "t")
	}
	ctx := testContext(t)
	ben := scram.Auth{User: "ben", Pass: benPassword}
	for _, addr := range []string{n.open, n.secure} {
		for i, m := range []sasl.Mechanism{plain.Auth{User: "ann", Pass: annPassword}.AsMechanism(), ben.AsSha256Mechanism(), ben.AsSha512Mechanism()} {
			cl := n.client(t, addr, m, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			value := addr + m.Name() + string(rune('a'+i))
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatalf("%s at %s: %v", m.Name(), addr, err)
			}
			for found := false; !found; {
				fetches := cl.PollFetches(ctx)
				if err := fetches.Err0(); err != nil {
					t.Fatal(err)
				}
				fetches.EachRecord(func(r *kgo.Record) { found = found || string(r.Value) == value })
			}
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "other", Value: []byte(value)}).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Errorf("%s writes where it may not: %v", m.Name(), err)
			}
		}
	}
	answers := map[string]bool{}
	for _, m := range []sasl.Mechanism{
		plain.Auth{User: "ann", Pass: "wr0ng-s3cret"}.AsMechanism(), plain.Auth{User: "nobody", Pass: "wr0ng-s3cret"}.AsMechanism(),
		scram.Auth{User: "ben", Pass: "wr0ng-s3cret"}.AsSha256Mechanism(), scram.Auth{User: "nobody", Pass: "wr0ng-s3cret"}.AsSha256Mechanism(),
		scram.Auth{User: "ann", Pass: annPassword}.AsSha512Mechanism(), // of PLAIN only
	} {
		err := n.client(t, n.open, m).Ping(ctx)
		if !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Fatalf("%s: %v", m.Name(), err)
		}
		answers[strings.ReplaceAll(err.Error(), m.Name(), "")] = true
	}
	if len(answers) != 1 {
		t.Errorf("answers tell users apart: %v", answers)
	}
	if logs := n.logs.String(); strings.Contains(logs, "s3cret") || !strings.Contains(logs, "authentication failed") {
		t.Errorf("the log: %s", logs)
	}
	describe, err := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest().RequestWith(ctx, n.client(t, n.open, asAdmin()))
	if err != nil || len(describe.Results) != 1 || describe.Results[0].User != "ben" || len(describe.Results[0].CredentialInfos) != 2 {
		t.Errorf("%v, %+v", err, describe)
	}
}

// TestSASLReauth: a client that does not say again who it is in time is cut off; one that does goes on.
func TestSASLReauth(t *testing.T) {
	n := startSASL(t, "connections.max.reauth.ms=1500")
	c := n.dial(t)
	authenticate := func() int64 {
		t.Helper()
		c.ask(t, build(kmsg.NewPtrSASLHandshakeRequest(), func(q *kmsg.SASLHandshakeRequest) { q.Version, q.Mechanism = 1, "PLAIN" }))
		resp := c.ask(t, build(kmsg.NewPtrSASLAuthenticateRequest(), func(q *kmsg.SASLAuthenticateRequest) {
			q.Version, q.SASLAuthBytes = 1, []byte("\x00admin\x00"+adminPassword)
		})).(*kmsg.SASLAuthenticateResponse)
		if resp.ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
		return resp.SessionLifetimeMillis
	}
	ask := build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) { q.Version = 7 })
	if have := authenticate(); have != 1500 {
		t.Errorf("lifetime %d ms", have)
	}
	c.ask(t, ask)
	begun := time.Now()
	authenticate()
	c.ask(t, ask)
	waittest.Until(t, 30*time.Second, "the time is over", func() bool { return time.Since(begun) > 1600*time.Millisecond })
	c.ended(t, ask)
	waittest.Until(t, 30*time.Second, "the log says why", func() bool { return strings.Contains(n.logs.String(), "connections.max.reauth.ms") })
}

// TestSASLOrder: what is answered, and what ends the connection, before and after authentication.
func TestSASLOrder(t *testing.T) {
	n := startSASL(t)
	metadata := build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) { q.Version = 7 })
	handshake := func(version int16, mechanism string) kmsg.Request {
		return build(kmsg.NewPtrSASLHandshakeRequest(), func(q *kmsg.SASLHandshakeRequest) { q.Version, q.Mechanism = version, mechanism })
	}
	token := build(kmsg.NewPtrSASLAuthenticateRequest(), func(q *kmsg.SASLAuthenticateRequest) {
		q.Version, q.SASLAuthBytes = 2, []byte("\x00ann\x00"+annPassword)
	})

	n.dial(t).ended(t, metadata)
	n.dial(t).ended(t, token)
	c := n.dial(t)
	c.ask(t, kmsg.NewPtrApiVersionsRequest())
	if resp := c.ask(t, handshake(1, "GSSAPI")).(*kmsg.SASLHandshakeResponse); resp.ErrorCode != int16(kproto.UnsupportedSaslMechanism) || len(resp.SupportedMechanisms) != 3 {
		t.Errorf("%+v", resp)
	}
	c.ended(t, nil)
	c = n.dial(t)
	c.ask(t, handshake(1, "PLAIN"))
	c.ended(t, metadata)

	c = n.dial(t)
	c.ask(t, handshake(1, "PLAIN"))
	c.ask(t, token)
	c.ask(t, metadata)
	if resp := c.ask(t, handshake(1, "PLAIN")).(*kmsg.SASLHandshakeResponse); resp.ErrorCode != int16(kproto.IllegalSaslState) {
		t.Errorf("%+v", resp)
	}
	if resp := c.ask(t, token).(*kmsg.SASLAuthenticateResponse); resp.ErrorCode != int16(kproto.IllegalSaslState) {
		t.Errorf("%+v", resp)
	}

	c = n.dial(t) // raw tokens
	c.ask(t, handshake(0, "PLAIN"))
	c.write(t, []byte("\x00ann\x00"+annPassword))
	if answer := c.read(t); len(answer) != 0 {
		t.Errorf("%q", answer)
	}
	c.ask(t, metadata)

	c = n.dial(t)
	c.ask(t, handshake(0, "PLAIN"))
	c.write(t, []byte("\x00ann\x00wrong"))
	c.ended(t, nil)

	c = n.dial(t) // too large before, not after
	if _, err := c.Write(binary.BigEndian.AppendUint32(nil, 600_000)); err != nil {
		t.Fatal(err)
	}
	c.ended(t, nil)
	c = n.dial(t)
	c.ask(t, handshake(1, "PLAIN"))
	c.ask(t, token)
	c.ask(t, build(kmsg.NewPtrMetadataRequest(), func(q *kmsg.MetadataRequest) {
		q.Version = 7
		name := strings.Repeat("n", 30_000)
		for range 25 {
			q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
	}))
}

// rawConn speaks to a listener without a client library.
type rawConn struct{ net.Conn }

func (n *saslNode) dial(t *testing.T) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", n.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &rawConn{c}
}

func (c *rawConn) write(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		t.Fatal(err)
	}
}

func (c *rawConn) read(t *testing.T) []byte {
	t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

func (c *rawConn) ask(t *testing.T, req kmsg.Request) kmsg.Response {
	t.Helper()
	var f kmsg.RequestFormatter
	c.write(t, f.AppendRequest(nil, req, 7)[4:])
	frame := c.read(t)[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != kproto.KeyApiVersions {
		frame = frame[1:]
	}
	if err := resp.ReadFrom(frame); err != nil {
		t.Fatal(err)
	}
	return resp
}

// ended says that the connection is closed without an answer to the request, if there is one.
func (c *rawConn) ended(t *testing.T, req kmsg.Request) {
	t.Helper()
	if req != nil {
		var f kmsg.RequestFormatter
		c.write(t, f.AppendRequest(nil, req, 7)[4:])
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("not ended: %d bytes, %v", n, err)
	}
}

// TestSASLJava: kafka-configs.sh makes a user of SCRAM, kafka-acls.sh gives it rights, and Kafka's own clients work with both mechanisms, as does kcat.
func TestSASLJava(t *testing.T) {
	kit := javakit.ForTest(t)
	n := startSASL(t)
	createAs(t, n.client(t, n.open, asAdmin()), "t")
	ca := tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM())
	properties := func(name, protocol, mechanism, module, user, password string) string {
		return tlstest.WriteFile(t, n.dir, name, []byte(strings.Join([]string{"security.protocol=" + protocol, "sasl.mechanism=" + mechanism,
			`sasl.jaas.config=org.apache.kafka.common.security.` + module + ` required username="` + user + `" password="` + password + `";`,
			"ssl.truststore.type=PEM", "ssl.truststore.location=" + ca}, "\n")))
	}
	run := func(addr, tool, stdin string, args ...string) javakit.Result {
		t.Helper()
		r, err := kit.Run(testContext(t), javakit.Command{Tool: tool, Args: append([]string{"--bootstrap-server", addr, "--command-config"}, args...), Stdin: strings.NewReader(stdin)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	admin := properties("admin", "SASL_PLAINTEXT", "PLAIN", "plain.PlainLoginModule", "admin", adminPassword)
	if r := run(n.open, "kafka-configs", "", admin, "--alter", "--add-config", "SCRAM-SHA-256=[password="+benPassword+"]", "--entity-type", "users", "--entity-name", "ben"); r.ExitCode != 0 {
		t.Fatal(r)
	}
	for _, role := range [][]string{{"--producer"}, {"--consumer", "--group", "*"}} {
		if r := run(n.open, "kafka-acls", "", append([]string{admin, "--add", "--allow-principal", "User:ben", "--topic", "t"}, role...)...); r.ExitCode != 0 {
			t.Fatal(r)
		}
	}
	ben := properties("ben", "SASL_SSL", "SCRAM-SHA-256", "scram.ScramLoginModule", "ben", benPassword)
	if r := run(n.secure, "kafka-console-producer", "x\n", ben, "--topic", "t"); r.ExitCode != 0 {
		t.Fatal(r)
	}
	if r := run(n.secure, "kafka-console-consumer", "", ben, "--topic", "t", "--group", "g", "--from-beginning", "--max-messages", "1"); r.Stdout != "x\n" {
		t.Fatal(r)
	}
	if r := run(n.secure, "kafka-topics", "", properties("wrong", "SASL_SSL", "SCRAM-SHA-256", "scram.ScramLoginModule", "ben", "wrong"), "--list"); r.ExitCode == 0 || !strings.Contains(r.String(), "SaslAuthenticationException") {
		t.Errorf("with a wrong password: %s", r)
	}
	if strings.Contains(n.logs.String(), "s3cret") {
		t.Error("a password is in the log")
	}
}

// TestSASLKcat: librdkafka with SCRAM over TLS.
func TestSASLKcat(t *testing.T) {
	kcat := needKcat(t)
	n := startSASL(t)
	createAs(t, n.client(t, n.open, asAdmin()), "t")
	n.addBen(t)
	n.allow(t, "ben", "t")
	for _, c := range []struct{ mechanism, user, password string }{{"SCRAM-SHA-512", "ben", benPassword}, {"PLAIN", "admin", adminPassword}} {
		run := func(stdin string, args ...string) string {
			t.Helper()
			cmd := exec.CommandContext(testContext(t), kcat, append([]string{"-b", n.secure, "-X", "security.protocol=sasl_ssl", "-X", "ssl.ca.location=" + tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM()),
				"-X", "sasl.mechanism=" + c.mechanism, "-X", "sasl.username=" + c.user, "-X", "sasl.password=" + c.password, "-m", "10"}, args...)...)
			cmd.Stdin = strings.NewReader(stdin)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s; the log: %s", err, out, n.logs)
			}
			return string(out)
		}
		run(c.user+"\n", "-P", "-t", "t")
		if out := run("", "-C", "-t", "t", "-e", "-q"); !strings.Contains(out, c.user+"\n") {
			t.Errorf("%q", out)
		}
	}
}

// TestPrivateRequests: what brokers and tools send takes rights on the cluster, and on a listener with SASL a client that is known.
func TestPrivateRequests(t *testing.T) {
	n := startSASL(t)
	frame := func(key int16) []byte {
		f := binary.BigEndian.AppendUint16(nil, uint16(key))
		return append(f, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0)
	}
	for key, right := range map[int16]string{kraft.KeyHandover: "CLUSTER_ACTION", new(kraft.DescribeBalancerRequest).Key(): "ALTER"} {
		for addr, want := range map[string]string{n.Seed(): "this takes " + right + " on the cluster", n.open: "the client has not said who it is"} {
			waittest.Until(t, 30*time.Second, "the log says "+want, func() bool { // it has one such line a second
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				raw := &rawConn{c}
				raw.write(t, frame(key))
				raw.ended(t, nil)
				return strings.Contains(n.logs.String(), want)
			})
		}
	}
}
