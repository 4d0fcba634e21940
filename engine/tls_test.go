package engine_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// tlsNode is a node with a plaintext listener, one with TLS (SSL), and one that demands certificates (MUTUAL); its controllers' listener demands them too.
type tlsNode struct {
	*enginetest.Node
	ca         *tlstest.CA
	dir        string
	one, third string // addresses of SSL and MUTUAL
	logs       *waittest.Log
}

func startTLS(t *testing.T, overrides ...string) *tlsNode {
	t.Helper()
	n := &tlsNode{ca: tlstest.NewCA(t, "test CA"), dir: t.TempDir(), logs: &waittest.Log{}}
	port := strings.TrimPrefix(fixedPorts(t)[1], "controller.quorum.voters=1@127.0.0.1:")
	keyStore := tlstest.WriteFile(t, n.dir, "node.pem", n.ca.Issue("node", nil).PEM())
	n.Node = enginetest.Start(t, enginetest.Options{Logger: n.logs.Logger(slog.LevelInfo), Overrides: append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0,MUTUAL://127.0.0.1:0,CONTROLLER://127.0.0.1:" + port, "controller.quorum.voters=1@127.0.0.1:" + port,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,MUTUAL:SSL,CONTROLLER:SSL", "inter.broker.listener.name=SSL",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + keyStore, "ssl.truststore.type=PEM", "ssl.truststore.location=" + tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM()),
		"listener.name.mutual.ssl.client.auth=required", "listener.name.controller.ssl.client.auth=required",
		"listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([a-z]+)$/$1/",
	}, overrides...)})
	n.one, n.third = n.Addr("SSL").String(), n.Addr("MUTUAL").String()
	return n
}

// tlsClient is a client of franz-go; user is the subject of its certificate, "" for none.
func (n *tlsNode) client(t *testing.T, addr, user string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c := &tls.Config{RootCAs: n.ca.Pool()}
	if user != "" {
		c.Certificates = []tls.Certificate{n.ca.Issue(user, nil).TLS()}
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.DialTLSConfig(c)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestTLSFranz: franz-go produces and consumes over TLS, each listener is announced to those who came by it, and certificates are demanded where they should be.
func TestTLSFranz(t *testing.T) {
	n := startTLS(t)
	createTopic(t, n.Node, "t", 3, nil)
	ctx := testContext(t)
	for _, c := range []struct{ addr, user string }{{n.one, ""}, {n.one, "ignored"}, {n.third, "alice"}} {
		cl := n.client(t, c.addr, c.user, kgo.DefaultProduceTopic("t"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		value := strings.Repeat(c.user+"x", 100_000)
		if err := cl.ProduceSync(ctx, kgo.KeyStringRecord(c.addr+c.user, value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for found := false; !found; {
			fetches := cl.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) { found = found || string(r.Value) == value })
		}
		meta, err := kadm.NewClient(cl).BrokerMetadata(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if b := meta.Brokers[0]; fmt.Sprintf("%s:%d", b.Host, b.Port) != c.addr {
			t.Errorf("who comes by %s is told %s:%d", c.addr, b.Host, b.Port)
		}
	}
	if b := n.Node.Node().Image().Broker(1); b.Endpoints[0].SecurityProtocol != 0 || b.Endpoints[1].SecurityProtocol != 1 || b.Endpoints[2].SecurityProtocol != 1 {
		t.Errorf("announced: %+v", b.Endpoints)
	}
	refused := func(user, want string) {
		t.Helper()
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := n.client(t, n.third, user, kgo.RetryTimeout(time.Second), kgo.RequestRetries(1)).Ping(short); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", user, err, want)
		}
	}
	refused("", "certificate required")
	refused("Not Lower Case", "")
	if logs := n.logs.String(); !strings.Contains(logs, "no rule of ssl.principal.mapping.rules fits the certificate: CN=Not Lower Case") {
		t.Errorf("the log does not say who fits no rule: %s", logs)
	}
}

// TestTLSDynamic: a key store that is named at run time is used by the next connection; one that cannot be used is not.
func TestTLSDynamic(t *testing.T) {
	n := startTLS(t)
	ctx := testContext(t)
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", n.one, &tls.Config{RootCAs: n.ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	alter := func(key, value string) {
		t.Helper()
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}}
		resp, err := req.RequestWith(ctx, newClient(t, n.Node))
		if err != nil || resp.Resources[0].ErrorCode != 0 {
			t.Fatalf("alter %s: %v, %+v", key, err, resp)
		}
	}
	next := n.ca.Issue("node", nil)
	alter("listener.name.ssl.ssl.keystore.location", tlstest.WriteFile(t, n.dir, "next.pem", next.PEM()))
	waittest.Until(t, 30*time.Second, "the new certificate is shown", func() bool { return serial() == next.Cert.SerialNumber.String() })
	alter("listener.name.ssl.ssl.keystore.location", filepath.Join(n.dir, "none"))
	waittest.Until(t, 30*time.Second, "the log says that the file is not usable", func() bool { return strings.Contains(n.logs.String(), "those before stay in use") })
	if serial() != next.Cert.SerialNumber.String() {
		t.Error("the certificate from before is gone")
	}
}

// TestTLSStartErrors: a node whose key store cannot be used does not start, and says which key to look at.
func TestTLSStartErrors(t *testing.T) {
	ca := tlstest.NewCA(t, "test CA")
	dir := t.TempDir()
	cfg, _, err := config.Load(config.Source{Overrides: []string{"log.dirs=" + dir, "listeners=SSL://127.0.0.1:0", "cluster.id=c",
		"ssl.keystore.location=" + tlstest.WriteFile(t, dir, "k.p12", ca.Issue("node", nil).PKCS12("secret")), "ssl.keystore.password=hidden"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Launch(testContext(t), cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "ssl.keystore.password: wrong password for "+dir) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
}

// needKcat returns the path of kcat. Without it the test is skipped, or fails when CI=true.
func needKcat(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("SKIPPED: librdkafka; it needs kcat: %v", err)
	}
	return path
}

// TestTLSKcat: librdkafka over TLS, with and without a certificate of its own.
func TestTLSKcat(t *testing.T) {
	kcat := needKcat(t)
	n := startTLS(t)
	createTopic(t, n.Node, "t", 1, nil)
	alice := n.ca.Issue("alice", nil)
	ca := tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM())
	own := []string{"-X", "ssl.certificate.location=" + tlstest.WriteFile(t, n.dir, "alice.crt", alice.CertPEM()), "-X", "ssl.key.location=" + tlstest.WriteFile(t, n.dir, "alice.key", alice.KeyPEM())}
	run := func(addr, stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(testContext(t), kcat, append([]string{"-b", addr, "-X", "security.protocol=ssl", "-X", "ssl.ca.location=" + ca, "-m", "10"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(n.one, "over TLS\n", "-P", "-t", "t"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(n.third, "mutual\n", append(own, "-P", "-t", "t")...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(n.third, "", append(own, "-C", "-t", "t", "-e", "-q")...); err != nil || out != "over TLS\nmutual\n" {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := run(n.third, "", "-L", "-m", "3"); err == nil {
		t.Errorf("without a certificate: %s", out)
	}
	waittest.Until(t, 30*time.Second, "the log says what is missing", func() bool { return strings.Contains(n.logs.String(), "this side demands a certificate") })
}

// TestTLSJava: Kafka's own tools with PKCS12 and PEM stores, with and without a certificate of their own.
func TestTLSJava(t *testing.T) {
	kit := javakit.ForTest(t)
	n := startTLS(t)
	alice := n.ca.Issue("alice", nil)
	properties := func(name string, lines ...string) string {
		return tlstest.WriteFile(t, n.dir, name, []byte(strings.Join(append(lines, "security.protocol=SSL"), "\n")))
	}
	pkcs12 := properties("p12.properties",
		"ssl.keystore.type=PKCS12", "ssl.keystore.location="+tlstest.WriteFile(t, n.dir, "alice.p12", alice.PKCS12("secret")), "ssl.keystore.password=secret",
		"ssl.truststore.type=PKCS12", "ssl.truststore.location="+tlstest.WriteFile(t, n.dir, "trust.p12", n.ca.PKCS12("secret")), "ssl.truststore.password=secret")
	trustOnly := []string{"ssl.truststore.type=PEM", "ssl.truststore.location=" + tlstest.WriteFile(t, n.dir, "ca.pem", n.ca.PEM())}
	oneWay := properties("oneway.properties", trustOnly...)
	pem := properties("pem.properties", append(trustOnly, "ssl.keystore.type=PEM", "ssl.keystore.location="+tlstest.WriteFile(t, n.dir, "alice.pem", alice.PEM()))...)
	run := func(tool, stdin string, args ...string) javakit.Result {
		t.Helper()
		r, err := kit.Run(testContext(t), javakit.Command{Tool: tool, Args: args, Stdin: strings.NewReader(stdin)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run("kafka-topics", "", "--bootstrap-server", n.one, "--command-config", oneWay, "--create", "--topic", "t"); r.ExitCode != 0 || !strings.Contains(r.Stdout, "Created topic t.") {
		t.Fatal(r)
	}
	if r := run("kafka-console-producer", "one\ntwo\n", "--bootstrap-server", n.third, "--command-config", pkcs12, "--topic", "t"); r.ExitCode != 0 {
		t.Fatal(r)
	}
	if r := run("kafka-console-consumer", "", "--bootstrap-server", n.third, "--command-config", pem, "--topic", "t", "--from-beginning", "--max-messages", "2"); r.Stdout != "one\ntwo\n" {
		t.Fatal(r)
	}
	if r := run("kafka-topics", "", "--bootstrap-server", n.third, "--command-config", oneWay, "--list"); r.ExitCode == 0 || !strings.Contains(r.String(), "Received fatal alert: certificate_required") {
		t.Errorf("without a certificate: %s", r)
	}
}
