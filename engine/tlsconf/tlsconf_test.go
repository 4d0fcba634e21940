package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/waittest"
)

// keys is the TLS of listener SSL with these settings.
func keys(t *testing.T, settings ...string) *config.TLS {
	t.Helper()
	c, _, err := config.Load(config.Source{Overrides: append([]string{
		"log.dirs=/d", "listeners=SSL://127.0.0.1:9092", "s3.data.buckets=0@mem://x",
	}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	return c.AllTLS()[0]
}

// shake has a client shake hands with a server; both sides' errors are returned. The client reads one byte: TLS 1.3 tells it of a refusal only there.
func shake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, nc := range []net.Conn{a, b} {
		nc.SetDeadline(time.Now().Add(30 * time.Second))
	}
	s, c := tls.Server(a, server), tls.Client(b, client)
	got := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		got <- err
	}()
	_, cerr := c.Read(make([]byte, 1))
	b.Close()
	serr := <-got
	return s.ConnectionState(), serr, cerr
}

// TestStores: every kind of store works, as key store and as trust store, from files of Go and of keytool alike.
func TestStores(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "test CA")
	pair := ca.Issue("node", nil)
	file := func(name string, b []byte) string { return tlstest.WriteFile(t, dir, name, b) }
	oneLine := func(b []byte) string { return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", " ") }
	client := tlstest.WriteFile(t, dir, "client.pem", ca.Issue("alice", nil).PEM())
	for name, settings := range map[string][]string{
		"PEM": {"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("k.pem", pair.PEM()), "ssl.truststore.type=PEM", "ssl.truststore.location=" + file("t.pem", ca.PEM())},
		"PEM, encrypted": {"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("e.pem", pair.EncryptedPEM("kp")), "ssl.key.password=kp",
			"ssl.truststore.type=PEM", "ssl.truststore.location=" + file("t.pem", ca.PEM())},
		"PEM in the keys": {"ssl.keystore.type=PEM", "ssl.keystore.key=" + string(pair.KeyPEM()), "ssl.keystore.certificate.chain=" + string(pair.CertPEM()),
			"ssl.truststore.type=PEM", "ssl.truststore.certificates=" + string(ca.PEM())},
		"PEM in one line": {"ssl.keystore.type=PEM", "ssl.keystore.key=" + oneLine(pair.KeyPEM()), "ssl.keystore.certificate.chain=" + oneLine(pair.CertPEM()),
			"ssl.truststore.type=PEM", "ssl.truststore.certificates=" + oneLine(ca.PEM())},
		"PKCS12": {"ssl.keystore.type=PKCS12", "ssl.keystore.location=" + file("k.p12", pair.PKCS12("secret")), "ssl.keystore.password=secret", "ssl.truststore.type=PKCS12",
			"ssl.truststore.location=" + file("t.p12", ca.PKCS12("secret")), "ssl.truststore.password=secret"},
		"JKS, with a password for the key": {"ssl.keystore.location=" + file("k.jks", pair.JKS("secret", "another")), "ssl.keystore.password=secret", "ssl.key.password=another",
			"ssl.truststore.location=" + file("t.jks", ca.JKS("secret")), "ssl.truststore.password=secret"},
		"JKS that is PKCS12": {"ssl.keystore.location=" + file("k.p12", pair.PKCS12("secret")), "ssl.keystore.password=secret",
			"ssl.truststore.location=" + file("t.p12", ca.PKCS12("secret")), "ssl.truststore.password=secret"},
	} {
		t.Run(name, func(t *testing.T) {
			var logs waittest.Log
			s, err := Open(keys(t, append(settings, "ssl.client.auth=required")...), logs.Logger(slog.LevelInfo))
			if err != nil {
				t.Fatal(err)
			}
			peer, err := Open(keys(t, "ssl.keystore.type=PEM", "ssl.keystore.location="+client, "ssl.truststore.type=PEM", "ssl.truststore.certificates="+string(ca.PEM())), logs.Logger(slog.LevelInfo))
			if err != nil {
				t.Fatal(err)
			}
			state, serr, cerr := shake(t, s.Server(), peer.Client("localhost"))
			if serr != nil || cerr != nil {
				t.Fatalf("%v, %v", serr, cerr)
			}
			if who, err := s.Principal(&state); who != "CN=alice" || err != nil {
				t.Errorf("the client is %q, %v", who, err)
			}
			if logs.String() != "" {
				t.Errorf("logged: %s", logs.String())
			}
		})
	}
}

// TestStoreErrors: each names the key to look at and what is wrong.
func TestStoreErrors(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "test CA")
	a, b := ca.Issue("a", nil), ca.Issue("b", nil)
	file := func(name string, b []byte) string { return tlstest.WriteFile(t, dir, name, b) }
	good := "ssl.keystore.location=" + file("good.pem", a.PEM())
	for name, c := range map[string]struct {
		settings []string
		want     string
	}{
		"no file":            {[]string{"ssl.keystore.location=/none"}, "ssl.keystore.location: open /none: no such file"},
		"listener's own key": {[]string{"listener.name.ssl.ssl.keystore.location=/none"}, "tlsconf: listener.name.ssl.ssl.keystore.location: open /none"},
		"another key": {[]string{"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("mix.pem", append(a.KeyPEM(), b.CertPEM()...))},
			`the private key belongs to none of the certificates beside it (of "CN=b")`},
		"no key":            {[]string{"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("cert.pem", a.CertPEM())}, "no private key in it"},
		"no certificate":    {[]string{"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("key.pem", a.KeyPEM())}, "no certificate in it"},
		"PEM taken for JKS": {[]string{good}, "ssl.keystore.type: " + dir + "/good.pem is a PEM file, not JKS; set it to PEM"},
		"key password missing": {[]string{"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("enc.pem", a.EncryptedPEM("kp"))},
			"ssl.key.password: missing: the private key is encrypted"},
		"key password wrong": {[]string{"ssl.keystore.type=PEM", "ssl.keystore.location=" + file("enc.pem", a.EncryptedPEM("kp")), "ssl.key.password=hidden"}, "ssl.key.password: the private key cannot be decrypted"},
		"PKCS12 password": {[]string{"ssl.keystore.location=" + file("k.p12", a.PKCS12("secret")), "ssl.keystore.password=hidden"},
			"ssl.keystore.password: wrong password for " + dir + "/k.p12"},
		"no PKCS12 password": {[]string{"ssl.keystore.location=" + file("k.p12", a.PKCS12("secret"))}, "ssl.keystore.password: missing"},
		"JKS password": {[]string{"ssl.keystore.location=" + file("k.jks", a.JKS("secret", "another")), "ssl.keystore.password=hidden"},
			"ssl.keystore.password: wrong password for " + dir + "/k.jks"},
		"JKS key password": {[]string{"ssl.keystore.location=" + file("k.jks", a.JKS("secret", "another")), "ssl.keystore.password=secret"}, `ssl.key.password: the key "node" of`},
		"JKS without a key": {[]string{"ssl.keystore.location=" + file("t.jks", ca.JKS("secret")), "ssl.keystore.password=secret"},
			"has no private key"},
		"garbage": {[]string{"ssl.keystore.location=" + file("junk", []byte("junk"))}, "is not a readable PKCS12 or JKS file"},
		"trust store password": {[]string{"ssl.keystore.type=PEM", good, "ssl.truststore.location=" + file("t.jks", ca.JKS("secret")), "ssl.truststore.password=hidden"},
			"ssl.truststore.password: wrong password"},
		"trust store without CAs": {[]string{"ssl.keystore.type=PEM", good, "ssl.truststore.type=PEM", "ssl.truststore.location=" + file("key.pem", a.KeyPEM())}, "ssl.truststore.location: no certificate in it"},
		"rules":                   {[]string{"ssl.keystore.type=PEM", good, "ssl.principal.mapping.rules=RULE:broken"}, "ssl.principal.mapping.rules: not understood from"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(keys(t, c.settings...), slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") || strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestReload: a new file is taken by the next handshake; one that is not usable is not, and the log says why, once.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	ca, other := tlstest.NewCA(t, "test CA"), tlstest.NewCA(t, "new CA")
	first, second := ca.Issue("node", nil), ca.Issue("node", nil)
	path := tlstest.WriteFile(t, dir, "k.pem", first.PEM())
	trust := tlstest.WriteFile(t, dir, "t.pem", ca.PEM())
	var logs waittest.Log
	c := keys(t, "ssl.keystore.type=PEM", "ssl.keystore.location="+path, "ssl.truststore.type=PEM", "ssl.truststore.location="+trust, "ssl.client.auth=required")
	s, err := Open(c, logs.Logger(slog.LevelInfo))
	if err != nil {
		t.Fatal(err)
	}
	server := s.Server()
	alice := ca.Issue("alice", nil).TLS()
	serial := func() string {
		t.Helper()
		var got string
		client := &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{alice}, VerifyConnection: func(cs tls.ConnectionState) error {
			got = cs.PeerCertificates[0].SerialNumber.String()
			return nil
		}}
		if _, serr, cerr := shake(t, server, client); serr != nil || cerr != nil {
			t.Fatalf("%v, %v", serr, cerr)
		}
		return got
	}
	if serial() != first.Cert.SerialNumber.String() {
		t.Fatal("another certificate")
	}
	s.check()
	if logs.String() != "" {
		t.Fatalf("nothing has changed, but: %s", logs.String())
	}
	tlstest.WriteFile(t, dir, "k.pem", second.PEM())
	s.check()
	if serial() != second.Cert.SerialNumber.String() || !strings.Contains(logs.String(), "certificates loaded anew") {
		t.Errorf("not reloaded: %s", logs.String())
	}
	for _, bad := range []struct {
		b    []byte
		want string
	}{
		{append(first.KeyPEM(), second.CertPEM()...), "the private key belongs to none"},
		{[]byte("half a fi"), "no private key"},
		{ca.Issue("somebody else", nil).PEM(), "ssl.allow.dn.changes=true"},
		{ca.Issue("node", func(c *x509.Certificate) { c.DNSNames = nil }).PEM(), "lacks the name localhost of the present one; allow that by ssl.allow.san.changes=true"},
	} {
		tlstest.WriteFile(t, dir, "k.pem", bad.b)
		before := strings.Count(logs.String(), "\n")
		s.check()
		s.check()
		if !strings.Contains(logs.String(), bad.want) || strings.Count(logs.String(), "\n") != before+1 {
			t.Errorf("want one line with %q: %s", bad.want, logs.String())
		}
		if serial() != second.Cert.SerialNumber.String() {
			t.Error("the certificate from before is gone")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.check()
	if serial() != second.Cert.SerialNumber.String() || !strings.Contains(logs.String(), "no such file") {
		t.Errorf("after the file is gone: %s", logs.String())
	}
	// A CA that is no longer trusted does not get its clients in, whatever they got before.
	tlstest.WriteFile(t, dir, "k.pem", second.PEM())
	tlstest.WriteFile(t, dir, "t.pem", other.PEM())
	s.check()
	if _, serr, cerr := shake(t, server, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{alice}}); serr == nil || cerr == nil {
		t.Errorf("alice is let in: %v, %v", serr, cerr)
	}
	// Keys changed at run time.
	next := tlstest.WriteFile(t, dir, "next.pem", first.PEM())
	tlstest.WriteFile(t, dir, "t.pem", ca.PEM())
	changed := *c
	changed.KeyStore.Location = next
	s.change(&changed)
	if serial() != first.Cert.SerialNumber.String() {
		t.Error("another location is not used")
	}
}

// TestIdentity: whom this node calls must be who it says, unless the name does not matter; the CA always does.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "test CA")
	for name, c := range map[string]struct {
		server tlstest.Pair
		host   string
		more   []string
		want   string
	}{
		"name":            {ca.Issue("node", nil), "localhost", nil, ""},
		"address":         {ca.Issue("node", nil), "127.0.0.1", nil, ""},
		"another name":    {ca.Issue("node", nil), "elsewhere", nil, "elsewhere"},
		"another address": {ca.Issue("node", nil), "127.0.0.2", nil, "127.0.0.2"},
		"does not matter": {ca.Issue("node", nil), "elsewhere", []string{"ssl.endpoint.identification.algorithm="}, ""},
		"common name":     {ca.Issue("old", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), "old", nil, ""},
		"not the CA's":    {tlstest.NewCA(t, "other").Issue("node", nil), "localhost", []string{"ssl.endpoint.identification.algorithm="}, "unknown authority"},
		"expired":         {ca.Issue("node", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) }), "localhost", nil, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(keys(t, append(c.more, "ssl.keystore.type=PEM", "ssl.keystore.location="+tlstest.WriteFile(t, dir, "k.pem", ca.Issue("me", nil).PEM()),
				"ssl.truststore.type=PEM", "ssl.truststore.certificates="+string(ca.PEM()))...), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			_, _, cerr := shake(t, &tls.Config{Certificates: []tls.Certificate{c.server.TLS()}}, s.Client(c.host))
			if c.want == "" && cerr != nil || c.want != "" && (cerr == nil || !strings.Contains(cerr.Error(), c.want)) {
				t.Errorf("%v, want %q", cerr, c.want)
			}
		})
	}
}

// TestExpiry: an expired certificate is used, since clients may not care, but the log says so, with the date.
func TestExpiry(t *testing.T) {
	ca := tlstest.NewCA(t, "test CA")
	year := func(until time.Duration) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-365*24*time.Hour), time.Now().Add(until)
		}
	}
	for want, p := range map[string]tlstest.Pair{
		"has expired":  ca.Issue("n", year(-time.Hour)),
		"expires soon": ca.Issue("n", year(20*24*time.Hour)),
		"":             ca.Issue("n", year(40*24*time.Hour)),
	} {
		var logs waittest.Log
		s, err := Open(keys(t, "ssl.keystore.type=PEM", "ssl.keystore.location="+tlstest.WriteFile(t, t.TempDir(), "k.pem", p.PEM())), logs.Logger(slog.LevelInfo))
		if err != nil {
			t.Fatal(err)
		}
		s.check()
		if got := logs.String(); want == "" && got != "" || want != "" && (strings.Count(got, want) != 1 || !strings.Contains(got, p.Cert.NotAfter.UTC().Format(time.RFC3339))) {
			t.Errorf("want one line with %q: %s", want, got)
		}
	}
}

// TestSet follows the files by itself.
func TestSet(t *testing.T) {
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "test CA")
	path := tlstest.WriteFile(t, dir, "k.pem", ca.Issue("node", nil).PEM())
	cfg, _, err := config.Load(config.Source{Overrides: []string{"log.dirs=/d", "listeners=PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0", "s3.data.buckets=0@mem://x",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + path}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenSet(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Of("PLAINTEXT") != nil {
		t.Error("TLS for a plaintext listener")
	}
	second := ca.Issue("node", nil)
	tlstest.WriteFile(t, dir, "k.pem", second.PEM())
	current := func() string { return s.Of("SSL").current.Load().cert.Leaf.SerialNumber.String() }
	waittest.Until(t, 30*time.Second, "the new file is noticed", func() bool { return current() == second.Cert.SerialNumber.String() })
	elsewhere := filepath.Join(dir, "none")
	s.Update(func(key string) (string, bool) { return elsewhere, key == "ssl.keystore.location" })
	if current() != second.Cert.SerialNumber.String() {
		t.Error("a file that is not there replaces the certificate")
	}
}

// TestDistinguishedName: expectations are what Java's X500Principal.getName says.
func TestDistinguishedName(t *testing.T) {
	av := func(id asn1.ObjectIdentifier, value any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: id, Value: value}
	}
	oid := func(n ...int) asn1.ObjectIdentifier { return n }
	dc, uid, email := oid(0, 9, 2342, 19200300, 100, 1, 25), oid(0, 9, 2342, 19200300, 100, 1, 1), oid(1, 2, 840, 113549, 1, 9, 1)
	for want, name := range map[string]pkix.RDNSequence{
		`OU=Dev+CN=alice,O=My\, Corp,C=US`: {{av(oid(2, 5, 4, 6), "US")}, {av(oid(2, 5, 4, 10), "My, Corp")}, {av(oid(2, 5, 4, 11), "Dev"), av(oid(2, 5, 4, 3), "alice")}},
		`1.2.840.113549.1.9.1=#16056140622e63,CN=\ lead \#x\;\"q\"\<\>\\`: {{av(oid(2, 5, 4, 3), ` lead #x;"q"<>\`)},
			{av(email, asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte("a@b.c")})}},
		`2.5.4.5=#13023432,CN=Jürgen,UID=u1,DC=example,DC=com`: {{av(dc, "com")}, {av(dc, "example")}, {av(uid, "u1")}, {av(oid(2, 5, 4, 3), "Jürgen")}, {av(oid(2, 5, 4, 5), "42")}},
		`2.5.4.12=#0c024472,L=SF,ST=CA,STREET=Main,CN=\#hash`: {{av(oid(2, 5, 4, 3), "#hash")}, {av(oid(2, 5, 4, 9), "Main")}, {av(oid(2, 5, 4, 8), "CA")}, {av(oid(2, 5, 4, 7), "SF")},
			{av(oid(2, 5, 4, 12), asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("Dr")})}},
		"": {},
	} {
		der, err := asn1.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := distinguishedName(der); got != want || err != nil {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	if _, err := distinguishedName([]byte{0x30, 5, 1}); err == nil {
		t.Error("a broken subject is a name")
	}
}

// TestRules: expectations are what Kafka 4.3.1's SslPrincipalMapper says.
func TestRules(t *testing.T) {
	const dn = `CN=kafka-1.Example.com,OU=Dev Team,O=My\, Corp,L=SF,ST=CA,C=US`
	for text, want := range map[string]string{
		"DEFAULT":                             dn,
		"":                                    "no rule",
		`RULE:^CN=([^,]+),.*$/$1/`:            "kafka-1.Example.com",
		`RULE:^CN=(.*?),OU=(.*?),.*$/$1@$2/L`: "kafka-1.example.com@dev team",
		`RULE:^CN=nobody$/x/`:                 "no rule",
		`RULE:^CN=(.*?),.*$/$7-$1/`:           "$7-kafka-1.Example.com",
		`RULE:^CN=(.*?),.*$/\$1-$1/`:          "$1-kafka-1.Example.com",
		`RULE:^CN=(.*?),.*$/$10/`:             "kafka-1.Example.com0",
		`RULE:^CN=(.*?),.*$/a\/b/L`:           "a/b",
		`RULE:^CN=(.*?),.*$/$1/X`:             "not understood",
		`RULE:broken`:                         "not understood",
		`RULE:^CN=(.*?),.*$/$1/L DEFAULT`:     "not understood",
		`DEFAULT,RULE:^x$/y/`:                 dn,
		`RULE:^CN=(.*?),.*$//`:                "",
		`RULE:^CN=((.*?),.*$/$1/`:             "pattern",
		`RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/U, DEFAULT`: "KAFKA-1.EXAMPLE.COM@DEV TEAM",
	} {
		rs, err := parseRules(text)
		got := ""
		if err == nil {
			got, err = rs.apply(dn)
		}
		if err != nil && (want == "" || !strings.Contains(err.Error(), want)) || err == nil && got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
		if want == "no rule" && !errors.Is(err, ErrNoRule) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
