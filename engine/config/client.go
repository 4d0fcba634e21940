package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Client is how a program that is no node reaches listeners: Kafka's client properties, as its tools take them by --command-config. It holds
// secrets; String does not. The zero value is plaintext.
type Client struct {
	// TLS is nil for plaintext.
	TLS *TLS
	// SASL is nil for a client that does not say who it is.
	SASL *ClientSASL
}

// ClientSASL is who a client is, and how it proves that.
type ClientSASL struct {
	Mechanism      string // one of the constants of this package
	User, Password string
}

// String shows no secret.
func (s *ClientSASL) String() string { return s.Mechanism + " as " + s.User }

// GoString is String.
func (s *ClientSASL) GoString() string { return s.String() }

// clientKeys are the keys about security that count. Others of these families are errors: to leave one out would be another security than was
// asked for. All other keys are for Kafka's clients, which share the file.
var (
	clientKeys = []string{
		"security.protocol", "sasl.mechanism", "sasl.jaas.config", "ssl.protocol",
		"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password", "ssl.keystore.key", "ssl.keystore.certificate.chain",
		"ssl.truststore.type", "ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.certificates",
		"ssl.endpoint.identification.algorithm", "ssl.enabled.protocols", "ssl.cipher.suites",
	}
	clientFamilies = []string{"security.", "ssl.", "sasl."}
)

const clientJAAS = `<module of the mechanism> required username="<name>" password="<password>";`

// LoadClient reads a file of Kafka's client properties. An error names the key.
func LoadClient(path string) (*Client, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	props, err := ParseProperties(f)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	values, where := map[string]string{}, map[string]string{}
	for _, p := range props {
		values[p.Key], where[p.Key] = strings.TrimSpace(p.Value), fmt.Sprintf("%s:%d", filepath.Base(path), p.Line)
	}
	c, err := newClient(values)
	if e, ok := err.(*Error); ok {
		e.Where = cmp.Or(where[e.Key], filepath.Base(path))
	}
	return c, err
}

func newClient(values map[string]string) (*Client, error) {
	for key, value := range values {
		if !slices.ContainsFunc(clientFamilies, func(f string) bool { return strings.HasPrefix(key, f) }) {
			continue
		}
		if !slices.Contains(clientKeys, key) {
			return nil, &Error{Kind: ErrUnknownKey, Key: key, Reason: "this program does not have it", Allowed: strings.Join(clientKeys, ", ")}
		}
		if d, ok := BrokerDef(key); ok && key != "sasl.jaas.config" {
			if err := d.Validate(value); err != nil {
				return nil, err
			}
		}
	}
	protocol := cmp.Or(values["security.protocol"], "PLAINTEXT")
	if !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
		return nil, &Error{Kind: ErrInvalid, Key: "security.protocol", Value: clip(protocol, 50), Reason: "no such protocol", Allowed: "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"}
	}
	client := &Client{}
	if usesTLS(protocol) {
		t, err := (&Config{tlsValues: values}).tlsFor("", nil, false)
		if err != nil {
			return nil, err
		}
		client.TLS = t
	}
	if usesSASL(protocol) {
		s, err := clientSASL(values)
		if err != nil {
			return nil, err
		}
		client.SASL = s
	}
	return client, nil
}

// clientSASL reads the client's side of sasl.*.
func clientSASL(values map[string]string) (*ClientSASL, error) {
	s := &ClientSASL{Mechanism: cmp.Or(values["sasl.mechanism"], "GSSAPI")}
	if !slices.Contains(passwordMechanisms, s.Mechanism) {
		return nil, &Error{Kind: ErrInvalid, Key: "sasl.mechanism", Value: clip(s.Mechanism, 50), Reason: "this program does not have this mechanism (GSSAPI is the default)", Allowed: strings.Join(passwordMechanisms, ", ")}
	}
	jaas, set := values["sasl.jaas.config"]
	if !set {
		return nil, &Error{Kind: ErrMissing, Key: "sasl.jaas.config", Reason: "missing: it has the name and the password", Allowed: clientJAAS}
	}
	fail := func(reason string) (*ClientSASL, error) {
		return nil, &Error{Kind: ErrInvalid, Key: "sasl.jaas.config", Value: masked, Reason: reason, Allowed: clientJAAS}
	}
	module := plainModule
	if s.Mechanism != MechanismPlain {
		module = "org.apache.kafka.common.security.scram.ScramLoginModule"
	}
	options, reason := parseJAAS(jaas, module)
	if reason != "" {
		return fail(reason)
	}
	for _, o := range options {
		switch o.name {
		case "username":
			s.User = o.value
		case "password":
			s.Password = o.value
		case "tokenauth":
			if strings.EqualFold(o.value, "true") {
				return fail("this program does not have delegation tokens")
			}
		}
	}
	if s.User == "" || s.Password == "" {
		return fail("has no username and password")
	}
	return s, nil
}
