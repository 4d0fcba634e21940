package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestCommandConfig asks a node with every security protocol on its listeners, as Kafka's own tools would be told to.
func TestCommandConfig(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: it starts a node")
	}
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	ca, dir := tlstest.NewCA(t, "test CA"), t.TempDir()
	nodePEM, caPEM := tlstest.WriteFile(t, dir, "node.pem", ca.Issue("node", nil).PEM()), tlstest.WriteFile(t, dir, "ca.pem", ca.PEM())
	n := enginetest.Start(t, enginetest.Options{Overrides: []string{
		"listeners=PLAINTEXT://127.0.0.1:0,MUTUAL://127.0.0.1:0,OPEN://127.0.0.1:0,SECURE://127.0.0.1:0,CONTROLLER://127.0.0.1:" + fmt.Sprint(port),
		"controller.quorum.voters=1@127.0.0.1:" + fmt.Sprint(port), "inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,MUTUAL:SSL,OPEN:SASL_PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:SSL",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + nodePEM, "ssl.truststore.type=PEM", "ssl.truststore.location=" + caPEM,
		"listener.name.mutual.ssl.client.auth=required", "listener.name.controller.ssl.client.auth=required",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="adm1n s3cret" user_ann="ann s3cret";`,
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:admin;User:ben;User:CN=tool", "connection.failed.authentication.delay.ms=1",
	}})
	admin, err := kgo.NewClient(kgo.SeedBrokers(n.Addr("OPEN").String()), kgo.SASL(plain.Auth{User: "admin", Pass: "adm1n s3cret"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var ups []kadm.UpsertSCRAM
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		ups = append(ups, kadm.UpsertSCRAM{User: "ben", Mechanism: m, Iterations: 4096, Password: "ben s3cret"})
	}
	if altered, err := kadm.NewClient(admin).AlterUserSCRAMs(t.Context(), nil, ups); err != nil || altered.Error() != nil {
		t.Fatal(err, altered)
	}

	file := func(lines ...string) string {
		path := filepath.Join(dir, "client.properties")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	jaas := func(module, user, password string) string {
		return fmt.Sprintf(`sasl.jaas.config=org.apache.kafka.common.security.%sLoginModule required username="%s" password="%s";`, module, user, password)
	}
	own := ca.Issue("tool", nil)
	trust := []string{"ssl.truststore.type=PEM", "ssl.truststore.location=" + caPEM}
	pkcs12 := []string{"ssl.truststore.type=PKCS12", "ssl.truststore.password=trusted", "ssl.truststore.location=" + tlstest.WriteFile(t, dir, "ca.p12", ca.PKCS12("trusted"))}
	mutual := []string{"security.protocol=SSL", "ssl.keystore.location=" + tlstest.WriteFile(t, dir, "tool.jks", own.JKS("stored", "stored")), "ssl.keystore.password=stored", "request.timeout.ms=1000"}
	client := func(lists ...[]string) []string {
		var all []string
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	benOf := func(mechanism string) []string {
		return []string{"sasl.mechanism=" + mechanism, jaas("scram.Scram", "ben", "ben s3cret")}
	}
	plainOf := func(user, password string) []string {
		return []string{"sasl.mechanism=PLAIN", jaas("plain.Plain", user, password)}
	}
	open, secure := []string{"security.protocol=SASL_PLAINTEXT"}, []string{"security.protocol=SASL_SSL"}
	controller := n.Node().Addr().String()
	for _, c := range []struct {
		name, listener string
		lines          []string // nil: no file
		want           string   // in what is printed; "" for the state
	}{
		{"certificate", "MUTUAL", client(mutual, trust), ""},
		{"certificate, controller", "", client(mutual, pkcs12), ""},
		{"PLAIN", "OPEN", client(open, plainOf("admin", "adm1n s3cret")), ""},
		{"PLAIN over TLS", "SECURE", client(secure, trust, plainOf("admin", "adm1n s3cret")), ""},
		{"SCRAM-SHA-256", "OPEN", client(open, benOf("SCRAM-SHA-256")), ""},
		{"SCRAM-SHA-512 over TLS", "SECURE", client(secure, pkcs12, benOf("SCRAM-SHA-512")), ""},
		{"no certificate", "MUTUAL", client([]string{"security.protocol=SSL"}, trust), "certificate"},
		{"another CA", "SECURE", client(secure, plainOf("admin", "adm1n s3cret"), []string{"ssl.truststore.type=PEM", "ssl.truststore.location=" + tlstest.WriteFile(t, dir, "other.pem", tlstest.NewCA(t, "other CA").PEM())}), "trust store"},
		{"wrong password", "OPEN", client(open, plainOf("admin", "gu3ss")), "SASL: Authentication failed"},
		{"wrong password, SCRAM", "OPEN", client(open, []string{"sasl.mechanism=SCRAM-SHA-256", jaas("scram.Scram", "ben", "gu3ss")}), "SASL: Authentication failed"},
		{"not allowed", "OPEN", client(open, plainOf("ann", "ann s3cret")), "is this user allowed to alter the cluster?"},
		{"SASL at a listener without", "MUTUAL", client(secure, trust, []string{mutual[1], mutual[2]}, plainOf("admin", "adm1n s3cret")), "this listener has none"},
		{"SASL without TLS", "SECURE", client(open, plainOf("admin", "adm1n s3cret")), "does this listener speak TLS"},
		{"nothing, TLS listener", "SECURE", nil, "speaks TLS, and was asked in plaintext (listeners with SSL or SASL need --command-config)"},
		{"nothing, SASL listener", "OPEN", nil, "does its listener want SASL"},
		{"mechanism", "OPEN", client(open, []string{"sasl.mechanism=OAUTHBEARER"}), "sasl.mechanism"},
		{"another module", "OPEN", client(open, []string{"sasl.mechanism=PLAIN", jaas("scram.Scram", "admin", "adm1n s3cret")}), "PlainLoginModule"},
		{"unknown key", "OPEN", client(open, []string{"sasl.login.class=x"}), "sasl.login.class: this program does not have it"},
		{"unknown protocol", "OPEN", []string{"security.protocol=TLS"}, "client.properties:1"},
		{"store's password", "SECURE", client(secure, pkcs12[:1], pkcs12[2:], plainOf("admin", "adm1n s3cret")), "ssl.truststore.password"},
		{"no such file", "SECURE", client(secure, []string{"ssl.truststore.location=/no/such/file"}, plainOf("admin", "adm1n s3cret")), "ssl.truststore.location"},
	} {
		where := "--bootstrap-controller=" + controller
		if c.listener != "" {
			where = "--bootstrap-server=" + n.Addr(c.listener).String()
		}
		argv := []string{"ringmq", "balancer", "status", where}
		if c.lines != nil {
			argv = append(argv, "--command-config="+file(c.lines...))
		}
		code, stdout, stderr, _ := run(t, argv...)
		if c.want == "" { // users of SCRAM get to the broker with the metadata
			waittest.UntilNil(t, 10*time.Second, c.name, func() error {
				if code != 0 {
					code, stdout, stderr, _ = run(t, argv...)
				}
				if code != 0 {
					return errors.New(stderr)
				}
				return nil
			})
		}
		if ok := code == 0; ok != (c.want == "") || !strings.Contains(stdout+stderr, c.want) || ok && !strings.Contains(stdout, "BROKER") {
			t.Errorf("%s: status %d: %s%s, want %q", c.name, code, stdout, stderr, c.want)
		}
		if strings.Contains(stdout+stderr, "s3cret") || strings.Contains(stdout+stderr, "gu3ss") {
			t.Errorf("%s: shows a password: %s%s", c.name, stdout, stderr)
		}
	}
	if code, _, stderr, _ := run(t, "ringmq", "balancer", "status", "--bootstrap-server=127.0.0.1:1", "--command-config="+dir+"/none"); code != 1 || !strings.Contains(stderr, "no such file") {
		t.Errorf("%d %s", code, stderr)
	}
}
