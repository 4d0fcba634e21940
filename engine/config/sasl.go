package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The SASL mechanisms that this program has.
const (
	MechanismPlain    = "PLAIN"
	MechanismScram256 = "SCRAM-SHA-256"
	MechanismScram512 = "SCRAM-SHA-512"
	MechanismOAuth    = "OAUTHBEARER"
)

// passwordMechanisms are those by a name and a password, which the tools have too.
var passwordMechanisms = []string{MechanismPlain, MechanismScram256, MechanismScram512}

var mechanisms = append(slices.Clone(passwordMechanisms), MechanismOAuth)

// SASL is how the clients of one listener say who they are: listener.name.<name>.sasl.* where given, sasl.* otherwise. It holds secrets; String does not.
type SASL struct {
	// Listener is the name of the listener, upper case.
	Listener string
	// Mechanisms are those that clients may use, at least one.
	Mechanisms []string
	// Users are the passwords of PLAIN, by user; out of user_<name>="<password>" in sasl.jaas.config.
	Users map[string]string
	// OAuth is how tokens of OAUTHBEARER are checked; nil without that mechanism.
	OAuth *OAuth
	// MaxReceiveBytes bounds a request of a client that has not said who it is: sasl.server.max.receive.size.
	MaxReceiveBytes int
	// FailureDelay is how long a client that failed waits for the answer: connection.failed.authentication.delay.ms.
	FailureDelay time.Duration
	// MaxReauth is after how long a client has to say again who it is; 0: never. connections.max.reauth.ms.
	MaxReauth time.Duration
}

// String shows no secret.
func (s *SASL) String() string {
	return fmt.Sprintf("listener %s: %s", s.Listener, strings.Join(s.Mechanisms, ", "))
}

// GoString is String.
func (s *SASL) GoString() string { return s.String() }

// SASLOf is the SASL of a listener; nil: its clients do not say who they are.
func (c *Config) SASLOf(listener string) *SASL {
	for _, s := range c.sasl {
		if s.Listener == listener {
			return s
		}
	}
	return nil
}

// SASLListeners are the SASL of all listeners that have it.
func (c *Config) SASLListeners() []*SASL { return c.sasl }

func usesSASL(protocol string) bool { return strings.HasPrefix(protocol, "SASL_") }

// authentication settles the SASL of the listeners.
func (b *builder) authentication() error {
	used := map[string]bool{}
	for _, l := range b.c.Listeners {
		if usesSASL(l.Protocol) {
			s, err := b.saslOf(l.Name, used)
			if err != nil {
				return err
			}
			b.c.sasl = append(b.c.sasl, s)
		}
	}
	for key, e := range b.values {
		if strings.HasPrefix(key, "listener.name.") && strings.Contains(key, ".sasl.") && !used[key] {
			b.warn(key, e.where, "without effect: no such listener has the protocol SASL_PLAINTEXT or SASL_SSL, and the mechanism")
		}
	}
	return nil
}

func (b *builder) saslOf(listener string, used map[string]bool) (*SASL, error) {
	// find returns the key as it is written, and whether it is.
	find := func(mechanism, key string) (string, bool) {
		for _, k := range []string{listenerKey(listener, strings.ToLower(mechanism)+"."+key), listenerKey(listener, key), key} {
			if _, set := b.values[k]; set {
				used[k] = true
				return k, true
			}
		}
		return key, false
	}
	fail := func(kind error, key, value, reason, allowed string) error {
		return &Error{Kind: kind, Key: key, Value: value, Reason: reason, Allowed: allowed, Where: b.values[key].where}
	}
	s := &SASL{
		Listener: listener, MaxReceiveBytes: int(b.num("sasl.server.max.receive.size")),
		FailureDelay: b.millis("connection.failed.authentication.delay.ms"), MaxReauth: b.millis("connections.max.reauth.ms"),
	}
	key, _ := find("", "sasl.enabled.mechanisms")
	allowed := "out of " + strings.Join(mechanisms, ", ")
	s.Mechanisms = splitList(cmp.Or(b.values[key].value, "GSSAPI"))
	for _, m := range s.Mechanisms {
		switch {
		case m == "GSSAPI":
			return nil, fail(ErrInvalid, key, "GSSAPI", "GSSAPI, which is the default, needs Kerberos, which this program does not have (listener "+listener+")", allowed)
		case !slices.Contains(mechanisms, m):
			return nil, fail(ErrInvalid, key, clip(m, 50), "this program does not have this mechanism (listener "+listener+")", allowed)
		}
	}
	if slices.Contains(s.Mechanisms, MechanismOAuth) {
		var err error
		if s.OAuth, err = b.oauthOf(find, fail); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(s.Mechanisms, MechanismPlain) {
		return s, nil
	}
	key, set := find(MechanismPlain, "sasl.jaas.config")
	const jaasAllowed = `org.apache.kafka.common.security.plain.PlainLoginModule required user_<name>="<password>" ...;`
	if !set {
		return nil, fail(ErrMissing, listenerKey(listener, "plain.sasl.jaas.config"), "", "missing: it has the users of the mechanism PLAIN", jaasAllowed)
	}
	var reason string
	if s.Users, reason = parsePlainUsers(b.values[key].value); reason != "" {
		return nil, fail(ErrInvalid, key, masked, reason, jaasAllowed)
	}
	return s, nil
}

// plainModule is what begins the JAAS configuration of PLAIN.
const plainModule = "org.apache.kafka.common.security.plain.PlainLoginModule"

// parsePlainUsers takes the users out of the options of a PlainLoginModule. The reason repeats nothing of the value, which holds passwords.
func parsePlainUsers(jaas string) (map[string]string, string) {
	options, reason := parseJAAS(jaas, plainModule)
	if reason != "" {
		return nil, reason
	}
	users := map[string]string{}
	for _, o := range options {
		if user, ok := strings.CutPrefix(o.name, "user_"); ok && user != "" {
			users[user] = o.value
		}
	}
	if len(users) == 0 {
		return nil, "has no user_<name>"
	}
	return users, ""
}

// jaasOption is name="value" of a login module.
type jaasOption struct{ name, value string }

// parseJAAS reads sasl.jaas.config: one module, its flag and options with values in double quotes, and a semicolon. The reason repeats nothing of the value.
func parseJAAS(jaas, module string) (options []jaasOption, reason string) {
	begin, rest, _ := strings.Cut(strings.TrimSpace(jaas), " ")
	if begin != module {
		return nil, "not of the module that belongs to the mechanism, " + module
	}
	rest, ended := strings.CutSuffix(strings.TrimSpace(rest), ";")
	if !ended {
		return nil, "does not end with a semicolon"
	}
	_, rest, _ = strings.Cut(strings.TrimSpace(rest), " ") // required
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		name, value, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, "option " + strconv.Itoa(len(options)+1) + " is not name=\"value\""
		}
		value = strings.TrimSpace(value)
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil || quoted[0] != '"' {
			return nil, "a value is not in double quotes"
		}
		rest = value[len(quoted):]
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, "a value has an escape that is not known"
		}
		options = append(options, jaasOption{strings.TrimSpace(name), text})
	}
	return options, ""
}
