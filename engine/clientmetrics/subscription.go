package clientmetrics

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys of a subscription.
const (
	KeyMetrics  = "metrics"     // prefixes of names, comma separated; "*": all
	KeyInterval = "interval.ms" // between two pushes
	KeyMatch    = "match"       // attribute=regular expression, comma separated; all have to match
)

// Bounds of interval.ms.
const (
	minInterval = 100
	maxInterval = 3_600_000
)

// selectors are the attributes of a client that a subscription may match.
var selectors = []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}

// Client is who sends: its attributes.
type Client struct {
	ClientID, SoftwareName, SoftwareVersion, Address, Port string
}

func (c Client) attribute(name, instance string) string {
	switch name {
	case "client_instance_id":
		return instance
	case "client_id":
		return c.ClientID
	case "client_software_name":
		return c.SoftwareName
	case "client_software_version":
		return c.SoftwareVersion
	case "client_source_address":
		return c.Address
	}
	return c.Port
}

// subscription is what administrators want of some clients.
type subscription struct {
	name     string
	metrics  []string
	interval time.Duration
	match    map[string]*regexp.Regexp
}

// ParseError says what is wrong with a subscription.
type ParseError struct {
	Request bool // INVALID_REQUEST: no such key, or a number out of range; else INVALID_CONFIG: a value cannot be read
	Text    string
}

// InvalidRequest says which of Kafka's two errors it is.
func (e *ParseError) InvalidRequest() bool { return e.Request }

// Error implements error.
func (e *ParseError) Error() string { return e.Text }

// Validate judges one key of a subscription. The error is a *ParseError.
func Validate(key, value string) error {
	var s subscription
	return s.set(key, value)
}

func (s *subscription) set(key, value string) error {
	switch key {
	case KeyMetrics:
		s.metrics = splitList(value)
	case KeyInterval:
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
		if err != nil {
			return &ParseError{false, fmt.Sprintf("Invalid value %s for configuration interval.ms: Not a number of type INT", value)}
		}
		if n < minInterval || n > maxInterval {
			return &ParseError{true, fmt.Sprintf("Invalid value %d for interval.ms, interval must be between [%d, %d]", n, minInterval, maxInterval)}
		}
		s.interval = time.Duration(n) * time.Millisecond
	case KeyMatch:
		s.match = make(map[string]*regexp.Regexp)
		for _, item := range splitList(value) {
			name, pattern, ok := strings.Cut(item, "=")
			name = strings.TrimSpace(name)
			if !ok || !slices.Contains(selectors, name) {
				return &ParseError{false, fmt.Sprintf("Illegal client matching pattern: %s", item)}
			}
			re, err := regexp.Compile("^(?:" + strings.TrimSpace(pattern) + ")$")
			if err != nil {
				return &ParseError{false, fmt.Sprintf("Illegal client matching pattern: %s: %v", item, err)}
			}
			s.match[name] = re
		}
	default:
		return &ParseError{true, "Unknown client metrics configuration: " + key}
	}
	return nil
}

// matches reports whether a client is meant.
func (s *subscription) matches(c Client, instance string) bool {
	for name, re := range s.match {
		if !re.MatchString(c.attribute(name, instance)) {
			return false
		}
	}
	return true
}

// splitList splits at commas; an empty list has no items.
func splitList(s string) (out []string) {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
