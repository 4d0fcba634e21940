package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // upper case, unique in its list
	Host     string // empty: every address; IPv6 without brackets
	Port     int32  // 0: any free port
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
}

// Addr is host:port, IPv6 in brackets.
func (l Listener) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))) }

// String is the entry as it is written in a properties file.
func (l Listener) String() string { return l.Name + "://" + l.Addr() }

// reachedBy says whether a connection to host:port comes in at this listener, of this very machine.
func (l Listener) reachedBy(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port != strconv.Itoa(int(l.Port)) {
		return false
	}
	if strings.EqualFold(host, l.Host) {
		return true
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	bound := net.ParseIP(l.Host)
	if l.Host != "" && (bound == nil || !bound.IsUnspecified()) {
		return bound != nil && slices.ContainsFunc(ips, bound.Equal)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(ips, func(ip net.IP) bool {
		return ip.IsLoopback() || slices.ContainsFunc(own, func(a net.Addr) bool { n, ok := a.(*net.IPNet); return ok && n.IP.Equal(ip) })
	})
}

const listenerAllowed = "NAME://host:port,... (host may be empty, port 0..65535, names unique)"

var protocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// parseListeners parses a list of NAME://host:port. Protocols are filled in later.
func parseListeners(s string) ([]Listener, string) {
	var out []Listener
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, rest, ok := strings.Cut(item, "://")
		name = strings.ToUpper(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(name, " \t/:") {
			return nil, strconv.Quote(item) + " is not NAME://host:port"
		}
		host, port, reason := splitHostPort(rest)
		if reason != "" {
			return nil, strconv.Quote(item) + ": " + reason
		}
		for _, l := range out {
			if l.Name == name {
				return nil, "the listener name " + name + " appears twice"
			}
			if l.Port == port && port != 0 && (l.Host == host || l.Host == "" || host == "") {
				return nil, "port " + strconv.Itoa(int(port)) + " appears twice on the same host"
			}
		}
		out = append(out, Listener{Name: name, Host: host, Port: port})
	}
	return out, ""
}

// splitHostPort splits at the last colon; it accepts an empty host and IPv6 with or without brackets.
func splitHostPort(s string) (host string, port int32, reason string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, "no :port"
	}
	host = s[:i]
	if h, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(h, "]"); !ok {
			return "", 0, "unbalanced bracket"
		}
	}
	if strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-%._:", r))
	}) {
		return "", 0, "the host has a character that no host name has"
	}
	p, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return "", 0, "port " + strconv.Quote(s[i+1:]) + " is not 0..65535"
	}
	return host, int32(p), ""
}

// parseProtocolMap parses listener.security.protocol.map.
func parseProtocolMap(s string) (map[string]string, string) {
	out := map[string]string{}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, proto, ok := strings.Cut(item, ":")
		name, proto = strings.ToUpper(strings.TrimSpace(name)), strings.ToUpper(strings.TrimSpace(proto))
		if !ok || name == "" {
			return nil, strconv.Quote(item) + " is not NAME:PROTOCOL"
		}
		if !slices.Contains(protocols, proto) {
			return nil, strconv.Quote(item) + " names no protocol"
		}
		if _, dup := out[name]; dup {
			return nil, "the listener name " + name + " appears twice"
		}
		out[name] = proto
	}
	return out, ""
}

// parseVoters parses controller.quorum.voters: id@host:port,...
func parseVoters(s string) (map[int32]string, string) {
	out := map[int32]string{}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		id, addr, ok := strings.Cut(item, "@")
		n, err := strconv.ParseInt(id, 10, 32)
		if !ok || err != nil || n < 0 {
			return nil, strconv.Quote(item) + " is not id@host:port"
		}
		host, port, reason := splitHostPort(addr)
		if reason == "" && host == "" {
			reason = "no host"
		}
		if reason != "" {
			return nil, strconv.Quote(item) + ": " + reason
		}
		if _, dup := out[int32(n)]; dup {
			return nil, "node id " + id + " appears twice"
		}
		out[int32(n)] = net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return out, ""
}
