package config

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

// TestTLSKeys: a listener's own keys win over the general ones, changes at run time over both, and secrets stay inside.
func TestTLSKeys(t *testing.T) {
	c, warnings, err := loadQuiet(Source{Overrides: []string{
		"log.dirs=/d", "node.id=3", "process.roles=broker", "controller.quorum.voters=1@h:9093", "controller.listener.names=CONTROLLER", "s3.data.buckets=0@mem://x",
		"listeners=PLAINTEXT://h:9092,SSL://h:9094,OUTSIDE://h:9095",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,OUTSIDE:SSL,CONTROLLER:SSL", "inter.broker.listener.name=SSL",
		"ssl.keystore.type=pem", "ssl.keystore.location=/general.pem", "ssl.key.password=topsecret", "ssl.truststore.location=/trust", "ssl.truststore.password=topsecret",
		"listener.name.outside.ssl.keystore.type=PKCS12", "listener.name.outside.ssl.keystore.location=/outside.p12", "listener.name.outside.ssl.keystore.password=topsecret",
		"listener.name.outside.ssl.client.auth=required", "listener.name.outside.ssl.cipher.suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"listener.name.controller.ssl.keystore.location=/controller.pem", "listener.name.controller.ssl.endpoint.identification.algorithm=",
		"listener.name.plaintext.ssl.client.auth=required", "ssl.provider=BC",
	}})
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	for _, w := range warnings {
		warned = append(warned, w.Key)
	}
	if want := []string{"listener.name.plaintext.ssl.client.auth", "ssl.provider"}; !slices.Equal(warned, want) {
		t.Errorf("warned about %v, want %v", warned, want)
	}
	if c.ControllerProtocol != "SSL" || len(c.AllTLS()) != 3 {
		t.Fatalf("controllers are spoken to by %s; %v", c.ControllerProtocol, c.AllTLS())
	}
	general, outside, controller := c.AllTLS()[0], c.AllTLS()[1], c.AllTLS()[2]
	if general.Listener != "SSL" || general.KeyStore.Type != "PEM" || general.KeyStore.Location != "/general.pem" || general.ClientAuth != "none" || !general.VerifyHost ||
		general.MinVersion != tls.VersionTLS12 || general.MaxVersion != tls.VersionTLS13 || general.TrustStore.Type != "JKS" {
		t.Errorf("%+v", general)
	}
	if outside.KeyStore.Type != "PKCS12" || outside.KeyStore.Location != "/outside.p12" || outside.KeyStore.Password != "topsecret" || outside.ClientAuth != "required" ||
		outside.TrustStore.Location != "/trust" || outside.MaxVersion != tls.VersionTLS12 || !slices.Equal(outside.CipherSuites, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}) {
		t.Errorf("%+v", outside)
	}
	if controller.Listener != "CONTROLLER" || controller.KeyStore.Location != "/controller.pem" || controller.VerifyHost {
		t.Errorf("%+v", controller)
	}
	if got := outside.Key("ssl.keystore.location") + " " + outside.Key("ssl.truststore.location"); got != "listener.name.outside.ssl.keystore.location ssl.truststore.location" {
		t.Error(got)
	}
	changed := map[string]string{"listener.name.outside.ssl.keystore.location": "/new.p12", "ssl.truststore.location": "/newtrust"}
	now, err := c.TLSWith("OUTSIDE", func(key string) (string, bool) { v, ok := changed[key]; return v, ok })
	if err != nil || now.KeyStore.Location != "/new.p12" || now.TrustStore.Location != "/newtrust" {
		t.Errorf("%v, %v", now, err)
	}
	if now, err := c.TLSWith("PLAINTEXT", nil); now != nil || err != nil {
		t.Errorf("%v, %v", now, err)
	}
	for _, text := range []string{general.String(), outside.String(), outside.String()} {
		if strings.Contains(text, "topsecret") {
			t.Errorf("a secret in %s", text)
		}
	}
	for d, s := range c.All() {
		if strings.Contains(s.Value, "topsecret") {
			t.Errorf("%s shows a secret", d.Name)
		}
	}
}
