package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/tools/javakit"
)

// TestDelegationTokens: kafka-delegation-tokens.sh makes a token, shows it, renews it and ends it; meanwhile Kafka's producer and consumer work with it over
// SASL_SSL, and after that they do not.
func TestDelegationTokens(t *testing.T) {
	notShort(t)
	kit := compiled(t, javakit.AppSet)
	n := startSecureNode(t, "delegation.token.secret.key=kept-by-all-nodes")
	b := startToolbox(t, kit)
	dir := t.TempDir()
	properties := func(name, mechanism, module, options string) string {
		file := filepath.Join(dir, name)
		text := strings.Join([]string{"security.protocol=SASL_SSL", "ssl.truststore.type=PEM", "ssl.truststore.location=" + n.ca, "sasl.mechanism=" + mechanism,
			"sasl.jaas.config=org.apache.kafka.common.security." + module + " required " + options + ";", "request.timeout.ms=20000", "default.api.timeout.ms=20000"}, "\n")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	admin := properties("admin", "PLAIN", "plain.PlainLoginModule", `username="`+user+`" password="`+password+`"`)
	run := func(tool, stdin, config string, args ...string) string {
		t.Helper()
		a := b.run(t, tool, stdin, append([]string{"--bootstrap-server", n.secure, "--command-config", config}, args...)...)
		if a.status != 0 {
			t.Fatalf("%s %v: status %d\n%s\n%s", tool, args, a.status, a.out, a.errors)
		}
		return a.out
	}
	run("kafka-topics", "", admin, "--create", "--topic", "t")

	made := run("kafka-delegation-tokens", "", admin, "--create", "--max-life-time-period", "-1", "--renewer-principal", "User:renewer")
	lines := strings.Split(strings.TrimSpace(made), "\n")
	fields := strings.Fields(lines[len(lines)-1]) // id, HMAC, owner, requester, renewers, dates
	if len(fields) < 5 || fields[2] != "User:"+user || fields[3] != "User:"+user || !strings.Contains(made, "User:renewer") {
		t.Fatalf("created: %s", made)
	}
	id, hmac := fields[0], fields[1]
	if out := run("kafka-delegation-tokens", "", admin, "--describe", "--owner-principal", "User:"+user); !strings.Contains(out, id) {
		t.Errorf("described: %s", out)
	}
	if out := run("kafka-delegation-tokens", "", admin, "--renew", "--renew-time-period", "3600000", "--hmac", hmac); !strings.Contains(out, "Completed renew operation") {
		t.Errorf("renewed: %s", out)
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		token := properties("token", mechanism, "scram.ScramLoginModule", `username="`+id+`" password="`+hmac+`" tokenauth="true"`)
		run("kafka-console-producer", "by "+mechanism+"\n", token, "--topic", "t", "--command-property", "acks=all")
		if out := run("kafka-console-consumer", "", token, "--topic", "t", "--from-beginning", "--max-messages", "1", "--timeout-ms", "30000"); !strings.Contains(out, "by SCRAM-SHA-256") {
			t.Errorf("%s: consumed %q", mechanism, out)
		}
		if a := b.run(t, "kafka-delegation-tokens", "", "--bootstrap-server", n.secure, "--command-config", token, "--describe"); a.status == 0 ||
			!strings.Contains(a.out+a.errors, "DelegationTokenRequestNotAllowed") && !strings.Contains(a.out+a.errors, "UnsupportedByAuthentication") {
			t.Errorf("described with a token: %+v", a)
		}
	}
	run("kafka-delegation-tokens", "", admin, "--expire", "--expiry-time-period", "-1", "--hmac", hmac)
	token := properties("token", "SCRAM-SHA-256", "scram.ScramLoginModule", `username="`+id+`" password="`+hmac+`" tokenauth="true"`)
	if a := b.run(t, "kafka-topics", "", "--bootstrap-server", n.secure, "--command-config", token, "--list"); a.status == 0 || !strings.Contains(a.out+a.errors, "SaslAuthenticationException") {
		t.Errorf("with an ended token: %+v", a)
	}
	if log, err := os.ReadFile(filepath.Join(n.Dir, "server.log")); err != nil || strings.Contains(string(log), hmac) || !strings.Contains(string(log), id) {
		t.Errorf("the log (%v) should have the token's id, and must not have its password", err)
	}
}
