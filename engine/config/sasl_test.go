package config

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestSASL(t *testing.T) {
	base := []string{"listeners=PLAINTEXT://:0,CLIENTS://:0", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT", "log.dirs=/tmp/x"}
	load := func(overrides ...string) (*Config, []Warning, error) {
		return Load(Source{Overrides: append(append([]string{}, base...), overrides...)})
	}
	const module = "org.apache.kafka.common.security.plain.PlainLoginModule required "
	jaas := `listener.name.clients.plain.sasl.jaas.config=` + module + `username="node" password="own" user_ann="se=cret \"1\"" user_ben="x;";`
	c, warnings, err := load("listener.name.clients.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512", jaas, "connections.max.reauth.ms=1000")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w.Key, "sasl") {
			t.Errorf("%v", w)
		}
	}
	s := c.SASLOf("CLIENTS")
	if !maps.Equal(s.Users, map[string]string{"ann": `se=cret "1"`, "ben": "x;"}) || len(s.Mechanisms) != 2 || s.MaxReauth.Seconds() != 1 || s.MaxReceiveBytes != 524288 {
		t.Errorf("%+v, users %q", s, s.Users)
	}
	if c.SASLOf("PLAINTEXT") != nil {
		t.Error("SASL on a plaintext listener")
	}
	if shown := fmt.Sprintf("%v %+v %#v %v", s, s, s, c); strings.Contains(shown, "cret") {
		t.Error(shown)
	}
	for _, c := range []struct {
		overrides []string
		want      string
	}{
		{nil, "needs Kerberos"},
		{[]string{"sasl.enabled.mechanisms=NTLM"}, "does not have this mechanism"},
		{[]string{"sasl.enabled.mechanisms=OAUTHBEARER"}, "sasl.oauthbearer.jwks.endpoint.url: missing"},
		{[]string{"sasl.enabled.mechanisms=OAUTHBEARER", "sasl.oauthbearer.jwks.endpoint.url=ftp://x/"}, "https, http or file"},
		{[]string{"sasl.enabled.mechanisms=OAUTHBEARER", "sasl.oauthbearer.jwks.endpoint.url=file:///k", "sasl.oauthbearer.jwks.endpoint.refresh.ms=0"}, "at least 1"},
		{[]string{"sasl.enabled.mechanisms=PLAIN"}, "listener.name.clients.plain.sasl.jaas.config"},
		{[]string{"sasl.enabled.mechanisms=PLAIN", "sasl.jaas.config=" + module + `user_ann="hunter2"`}, "semicolon"},
		{[]string{"sasl.enabled.mechanisms=PLAIN", "sasl.jaas.config=" + module + `user_ann=hunter2;`}, "double quotes"},
		{[]string{"sasl.enabled.mechanisms=PLAIN", "sasl.jaas.config=" + module + `username="hunter2";`}, "has no user_"},
		{[]string{"sasl.enabled.mechanisms=PLAIN", `sasl.jaas.config=Scram required user_ann="hunter2";`}, "module"},
		{[]string{"sasl.enabled.mechanisms=SCRAM-SHA-256", "inter.broker.listener.name=CLIENTS"}, "PLAINTEXT or SSL"},
	} {
		_, _, err := load(c.overrides...)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", c.overrides, err, c.want)
		}
	}
}
