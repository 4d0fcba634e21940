package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestClient: Kafka's client properties, as its tools would be given them.
func TestClient(t *testing.T) {
	load := func(lines ...string) (*Client, error) {
		path := filepath.Join(t.TempDir(), "c.properties")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadClient(path)
	}
	c, err := load("# nothing about security", "client.id=x", "request.timeout.ms=5")
	if err != nil || c.TLS != nil || c.SASL != nil {
		t.Errorf("%+v %v", c, err)
	}
	c, err = load("security.protocol=SASL_SSL", "ssl.truststore.location=/t", "ssl.truststore.password=hunter2", "ssl.endpoint.identification.algorithm=", "ssl.enabled.protocols=TLSv1.3",
		"sasl.mechanism=SCRAM-SHA-512", `sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="ann" password="hunter2";`)
	if err != nil || c.SASL == nil || *c.SASL != (ClientSASL{"SCRAM-SHA-512", "ann", "hunter2"}) || c.TLS == nil || c.TLS.TrustStore.Type != "JKS" || c.TLS.VerifyHost || c.TLS.MinVersion != c.TLS.MaxVersion {
		t.Fatalf("%+v %v", c, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", c.SASL, c.SASL, c.SASL); strings.Contains(shown, "hunter2") {
		t.Error(shown)
	}
	if c, err = load("security.protocol=SSL"); err != nil || !c.TLS.VerifyHost || !c.TLS.TrustStore.Empty() {
		t.Errorf("%+v %v", c, err)
	}
	const plain = "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
	for _, c := range []struct {
		want  string
		lines []string
	}{
		{"security.protocol", []string{"security.protocol=ssl"}},
		{"sasl.mechanism", []string{"security.protocol=SASL_SSL"}},
		{"sasl.jaas.config: missing", []string{"security.protocol=SASL_SSL", "sasl.mechanism=PLAIN"}},
		{"no username and password", []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", plain + `username="ann";`}},
		{"delegation tokens", []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=SCRAM-SHA-256", `sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="a" password="hunter2" tokenauth="true";`}},
		{"double quotes", []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", plain + `username=ann password=hunter2;`}},
		{"semicolon", []string{"security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", plain + `username="ann" password="hunter2"`}},
		{"ssl.keystore.key", []string{"security.protocol=SSL", "ssl.keystore.location=/k", "ssl.keystore.key=k"}},
		{"ssl.truststore.type", []string{"ssl.truststore.type=BKS"}},
		{"sasl.oauthbearer.token.endpoint.url: this program does not have it; allowed: security.protocol", []string{"sasl.oauthbearer.token.endpoint.url=x"}},
		{"c.properties:2", []string{"", "security.protocol=TLS"}},
	} {
		if _, err := load(c.lines...); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", c.lines, err, c.want)
		}
	}
}
