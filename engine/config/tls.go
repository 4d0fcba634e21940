package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// TLS is what the ssl.* keys say for one listener: listener.name.<name>.ssl.* where given, ssl.* otherwise. It holds secrets; String does not.
type TLS struct {
	// Listener is the name of the listener, upper case.
	Listener string
	// KeyStore has the key and the certificate that the node presents; on a listener of its own it always has one.
	KeyStore KeyStore
	// TrustStore has the CAs that peers are judged by. None: the system's.
	TrustStore TrustStore
	// ClientAuth is ssl.client.auth: none, requested or required.
	ClientAuth string
	// MinVersion and MaxVersion are out of crypto/tls, from ssl.enabled.protocols and from the versions for which there are cipher suites.
	MinVersion, MaxVersion uint16
	// CipherSuites are ssl.cipher.suites up to TLS 1.2; nil: crypto/tls chooses. Those of TLS 1.3 cannot be chosen.
	CipherSuites []uint16
	// VerifyHost is false when ssl.endpoint.identification.algorithm is empty: whom this node calls needs a certificate, of any name.
	VerifyHost bool
	// PrincipalRules is ssl.principal.mapping.rules, not parsed.
	PrincipalRules string
	// AllowDNChanges and AllowSANChanges say that a new certificate may have another subject, or fewer names, than the one before.
	AllowDNChanges, AllowSANChanges bool

	prefixed map[string]bool // keys that the listener has of its own
}

// KeyStore is ssl.keystore.* and ssl.key.password.
type KeyStore struct {
	Type             string // JKS, PKCS12 or PEM
	Location         string // a file; empty: Key and CertificateChain are given
	Password         string
	KeyPassword      string
	Key              string // PEM
	CertificateChain string // PEM
}

// TrustStore is ssl.truststore.*.
type TrustStore struct {
	Type         string // JKS, PKCS12 or PEM
	Location     string // a file; empty: Certificates, or the system's CAs
	Password     string
	Certificates string // PEM
}

// Empty reports whether there is no trust store.
func (s TrustStore) Empty() bool { return s.Location == "" && s.Certificates == "" }

// Key is a key as it has to be written for this listener: with its prefix if the listener has the key of its own.
func (t *TLS) Key(key string) string {
	if t.prefixed[key] {
		return listenerKey(t.Listener, key)
	}
	return key
}

// String names the files, and no secret.
func (t *TLS) String() string {
	return fmt.Sprintf("listener %s, %s key store %q, %s trust store %q, client authentication %s", t.Listener, t.KeyStore.Type, t.KeyStore.Location,
		t.TrustStore.Type, t.TrustStore.Location, t.ClientAuth)
}

func listenerKey(listener, key string) string {
	return "listener.name." + strings.ToLower(listener) + "." + key
}

// listenerScoped finds the definition of a key with a listener's prefix, if it is one that a listener may have of its own.
func listenerScoped(key string) (*Def, bool) {
	rest, ok := strings.CutPrefix(key, "listener.name.")
	if !ok {
		return nil, false
	}
	if key, ok := isConnectionKey(rest); ok {
		return BrokerDef(key)
	}
	for _, family := range []string{".ssl.", ".sasl."} {
		if i := strings.Index(rest, family); i > 0 {
			return BrokerDef(rest[i+1:])
		}
	}
	return nil, false
}

// usesTLS reports whether a security protocol is over TLS.
func usesTLS(protocol string) bool { return protocol == "SSL" || protocol == "SASL_SSL" }

const (
	storeTypes      = "JKS, PKCS12 or PEM"
	protocolsReason = "this version speaks TLSv1.2 and TLSv1.3 only"
)

func tlsVersionsCheck() *check {
	return parsedBy("TLSv1.2, TLSv1.3 or both, comma separated", func(v string) string {
		items := splitList(v)
		if len(items) == 0 {
			return "empty"
		}
		for _, p := range items {
			if p != "TLSv1.2" && p != "TLSv1.3" {
				return strconv.Quote(clip(p, 50)) + ": " + protocolsReason
			}
		}
		return ""
	})
}

func cipherSuitesCheck() *check {
	var names []string
	for _, s := range tls.CipherSuites() {
		names = append(names, s.Name)
	}
	return parsedBy("out of "+strings.Join(names, ", "), func(v string) string {
		for _, name := range splitList(v) {
			if !slices.Contains(names, name) {
				return strconv.Quote(clip(name, 80)) + " is not known, or not safe"
			}
		}
		return ""
	})
}

// TLSWith is the TLS of a listener after changes of keys at run time: changed gives the new value of a key, as it is written in the
// configuration. nil for a listener without TLS. An error names the key.
func (c *Config) TLSWith(listener string, changed func(key string) (string, bool)) (*TLS, error) {
	for _, t := range c.tls {
		if t.Listener == listener {
			return c.tlsFor(listener, changed, slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.Name == listener }))
		}
	}
	return nil, nil
}

// AllTLS is the TLS of each listener of this node that has it, and of the controllers' listener, for calls to it, if that has it.
func (c *Config) AllTLS() []*TLS { return c.tls }

// secure settles the TLS of the listeners and of the calls to the controllers.
func (b *builder) secure() error {
	c := b.c
	c.tlsValues = map[string]string{}
	for key, e := range b.values {
		if strings.HasPrefix(key, "ssl.") || strings.HasPrefix(key, "listener.name.") && strings.Contains(key, ".ssl.") {
			c.tlsValues[key] = e.value
		}
	}
	add := func(name string, listens bool) error {
		t, err := c.tlsFor(name, nil, listens)
		if err != nil {
			if e, ok := err.(*Error); ok {
				e.Where = b.values[e.Key].where
			}
			return err
		}
		c.tls = append(c.tls, t)
		return nil
	}
	for _, l := range c.Listeners {
		if usesTLS(l.Protocol) {
			if err := add(l.Name, true); err != nil {
				return err
			}
		}
	}
	name := c.ControllerListenerNames[0]
	if usesTLS(c.ControllerProtocol) && !slices.ContainsFunc(c.tls, func(t *TLS) bool { return t.Listener == name }) {
		if err := add(name, false); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.tlsValues)) {
		d, _ := BrokerDef(key)
		if d != nil && (d.Use != Used || c.tlsValues[key] == d.Default) || slices.ContainsFunc(c.tls, func(t *TLS) bool {
			return d != nil || strings.HasPrefix(key, listenerKey(t.Listener, ""))
		}) {
			continue
		}
		b.warn(key, b.values[key].where, "without effect: no such listener has the protocol SSL (listener.security.protocol.map)")
	}
	return nil
}

// tlsFor reads the keys of a listener.
func (c *Config) tlsFor(listener string, changed func(key string) (string, bool), listens bool) (*TLS, error) {
	t := &TLS{Listener: listener, prefixed: map[string]bool{}}
	get := func(key string) string {
		prefixed := listenerKey(listener, key)
		for _, k := range []string{prefixed, key} {
			v, ok := "", false
			if changed != nil {
				v, ok = changed(k)
			}
			if !ok {
				v, ok = c.tlsValues[k]
			}
			if ok {
				t.prefixed[key] = k == prefixed
				return strings.TrimSpace(v)
			}
		}
		d, _ := BrokerDef(key)
		return d.Default
	}
	fail := func(key, reason, allowed string) error {
		d, _ := BrokerDef(key)
		e := d.invalid(get(key), reason)
		e.Key = t.Key(key)
		if allowed != "" {
			e.Allowed = allowed
		}
		return e
	}
	missing := func(key, reason, allowed string) error {
		return &Error{Kind: ErrMissing, Key: listenerKey(listener, key), Reason: reason, Allowed: allowed}
	}
	t.KeyStore = KeyStore{
		Type: strings.ToUpper(get("ssl.keystore.type")), Location: get("ssl.keystore.location"), Password: get("ssl.keystore.password"),
		KeyPassword: get("ssl.key.password"), Key: get("ssl.keystore.key"), CertificateChain: get("ssl.keystore.certificate.chain"),
	}
	t.TrustStore = TrustStore{
		Type: strings.ToUpper(get("ssl.truststore.type")), Location: get("ssl.truststore.location"), Password: get("ssl.truststore.password"),
		Certificates: get("ssl.truststore.certificates"),
	}
	t.ClientAuth, t.PrincipalRules = get("ssl.client.auth"), get("ssl.principal.mapping.rules")
	t.VerifyHost = get("ssl.endpoint.identification.algorithm") != ""
	t.AllowDNChanges, t.AllowSANChanges = strings.EqualFold(get("ssl.allow.dn.changes"), "true"), strings.EqualFold(get("ssl.allow.san.changes"), "true")
	k, s := t.KeyStore, t.TrustStore
	switch {
	case k.Location != "" && (k.Key != "" || k.CertificateChain != ""):
		return nil, fail("ssl.keystore.location", "a file, although the key is given as ssl.keystore.key", "one of the two")
	case k.Location == "" && k.Key == "" && k.CertificateChain == "" && listens:
		return nil, missing("ssl.keystore.location", "missing: listener "+listener+" has the protocol SSL and needs a key and a certificate",
			"a key store, or ssl.keystore.type=PEM with ssl.keystore.key and ssl.keystore.certificate.chain")
	case (k.Key == "") != (k.CertificateChain == ""):
		return nil, fail("ssl.keystore.certificate.chain", "ssl.keystore.key and ssl.keystore.certificate.chain belong together", "both or none")
	case k.Key != "" && k.Type != "PEM":
		return nil, fail("ssl.keystore.type", "ssl.keystore.key is PEM", "PEM")
	case k.Location != "" && k.Type == "PEM" && k.Password != "":
		return nil, fail("ssl.keystore.password", "a PEM key store has none, but its key may have ssl.key.password", "")
	case s.Location != "" && s.Certificates != "":
		return nil, fail("ssl.truststore.location", "a file, although ssl.truststore.certificates are given", "one of the two")
	case s.Certificates != "" && s.Type != "PEM":
		return nil, fail("ssl.truststore.type", "ssl.truststore.certificates is PEM", "PEM")
	case s.Location != "" && s.Type == "PEM" && s.Password != "":
		return nil, fail("ssl.truststore.password", "a PEM trust store has none", "")
	case listens && t.ClientAuth != "none" && s.Empty():
		return nil, missing("ssl.truststore.location", "missing: "+t.Key("ssl.client.auth")+"="+t.ClientAuth+" needs to know which CAs sign clients' certificates",
			"a trust store, or ssl.truststore.type=PEM with ssl.truststore.certificates")
	}
	return t, t.versions(splitList(get("ssl.enabled.protocols")), splitList(get("ssl.cipher.suites")), fail)
}

// versions settles protocol versions and cipher suites.
func (t *TLS) versions(protocols, suites []string, fail func(key, reason, allowed string) error) error {
	with := map[uint16]bool{}
	for _, p := range protocols {
		with[map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[p]] = true
	}
	if len(suites) > 0 {
		has := map[uint16]bool{}
		for _, s := range tls.CipherSuites() {
			if !slices.Contains(suites, s.Name) {
				continue
			}
			for _, v := range s.SupportedVersions {
				has[v] = true
			}
			if !slices.Contains(s.SupportedVersions, tls.VersionTLS13) {
				t.CipherSuites = append(t.CipherSuites, s.ID)
			}
		}
		with[tls.VersionTLS12] = with[tls.VersionTLS12] && has[tls.VersionTLS12]
		with[tls.VersionTLS13] = with[tls.VersionTLS13] && has[tls.VersionTLS13]
	}
	switch {
	case with[tls.VersionTLS12] && with[tls.VersionTLS13]:
		t.MinVersion, t.MaxVersion = tls.VersionTLS12, tls.VersionTLS13
	case with[tls.VersionTLS12]:
		t.MinVersion, t.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case with[tls.VersionTLS13]:
		t.MinVersion, t.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	default:
		return fail("ssl.cipher.suites", "none of them is for a version of ssl.enabled.protocols", "")
	}
	return nil
}
