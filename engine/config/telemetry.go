package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Telemetry is what a node tells of itself.
type Telemetry struct {
	// Prometheus is host:port of the metrics endpoint, "" for none; port 0 is any free one.
	Prometheus string
	// Labels are put on every metric (s3.telemetry.metrics.base.labels).
	Labels map[string]string
	// ClientMaxBytes is telemetry.max.bytes, the largest push of a client.
	ClientMaxBytes int
}

const (
	exporterAllowed = "prometheus://<host>:<port> or prometheus://?host=..&port=.. (host by default localhost, port 9090)"
	labelsAllowed   = "<name>=<value>,... (names of letters, digits and _, unique)"

	defaultMetricsHost = "localhost"
	defaultMetricsPort = "9090"
)

// parseExporters parses s3.telemetry.metrics.exporter.uri, comma separated. It returns the address of the one that is served here, and the schemes of
// those that the seed system has besides. The reason never shows a value: another exporter's may hold a secret.
func parseExporters(s string) (prometheus string, others []string, reason string) {
	for _, item := range splitList(s) {
		scheme, rest, ok := strings.Cut(item, "://")
		switch {
		case !ok:
			return "", nil, "no :// found"
		case scheme == "otlp" || scheme == "ops":
			others = append(others, scheme)
			continue
		case scheme != "prometheus":
			return "", nil, fmt.Sprintf("scheme %q is not prometheus", clip(scheme, 20))
		case prometheus != "":
			return "", nil, "prometheus:// appears twice"
		}
		var err error
		if prometheus, err = parsePrometheus(rest); err != nil {
			return "", nil, err.Error()
		}
	}
	return prometheus, others, ""
}

// parsePrometheus parses what follows prometheus://.
func parsePrometheus(s string) (string, error) {
	authority, query, _ := strings.Cut(s, "?")
	host, port := defaultMetricsHost, defaultMetricsPort
	if authority = strings.TrimSuffix(authority, "/"); authority != "" {
		h, p, reason := splitHostPort(authority)
		if reason != "" {
			return "", fmt.Errorf("%s", reason)
		}
		host, port = h, strconv.Itoa(int(p))
	}
	params, err := parseParams(query)
	if err != nil {
		return "", err
	}
	for _, p := range params {
		switch p.key {
		case "host":
			host = strings.Trim(p.value, "[]")
		case "port":
			n, err := strconv.ParseUint(p.value, 10, 16)
			if err != nil {
				return "", fmt.Errorf("port is not 0..65535")
			}
			port = strconv.FormatUint(n, 10)
		default:
			return "", fmt.Errorf("unknown parameter %q", clip(p.key, 20))
		}
	}
	return net.JoinHostPort(host, port), nil
}

// parseLabels parses s3.telemetry.metrics.base.labels.
func parseLabels(s string) (map[string]string, string) {
	out := map[string]string{}
	for _, item := range splitList(s) {
		name, value, ok := strings.Cut(item, "=")
		if !ok || !labelName(name) {
			return nil, strconv.Quote(clip(item, 50)) + " is not <name>=<value>"
		}
		if _, twice := out[name]; twice {
			return nil, "the label " + name + " appears twice"
		}
		out[name] = value
	}
	return out, ""
}

// labelName reports whether Prometheus takes a label of that name; those that begin with __ are its own.
func labelName(s string) bool {
	for i, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || i > 0 && r >= '0' && r <= '9') {
			return false
		}
	}
	return s != "" && !strings.HasPrefix(s, "__")
}

func exporterCheck() *check {
	return parsedBy(exporterAllowed, func(v string) string { _, _, reason := parseExporters(v); return reason })
}

func labelsCheck() *check {
	return parsedBy(labelsAllowed, func(v string) string { _, reason := parseLabels(v); return reason })
}

// telemetry settles the metrics endpoint.
func (b *builder) telemetry() error {
	const key = "s3.telemetry.metrics.exporter.uri"
	address, others, _ := parseExporters(b.text(key))
	for _, scheme := range others {
		b.warn(key, b.get(key).where, "%s:// is accepted, but without effect in this version", scheme)
	}
	if !b.flag("s3.telemetry.metrics.enable") {
		return nil
	}
	b.c.Telemetry.Prometheus = address
	b.c.Telemetry.ClientMaxBytes = int(b.num("telemetry.max.bytes"))
	b.c.Telemetry.Labels, _ = parseLabels(b.text("s3.telemetry.metrics.base.labels"))
	return nil
}
