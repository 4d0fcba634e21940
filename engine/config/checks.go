package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// The checks of keys whose values have a grammar of their own.

const pathsAllowed = "at least one directory, comma separated"

func listenersCheck() *check {
	return parsedBy(listenerAllowed, func(v string) string { _, reason := parseListeners(v); return reason })
}

func protocolMapCheck() *check {
	return parsedBy("LISTENER:PROTOCOL,... with PROTOCOL one of "+strings.Join(protocols, ", "),
		func(v string) string { _, reason := parseProtocolMap(v); return reason })
}

func votersCheck() *check {
	return parsedBy("<node id>@<host>:<port>,... (ids unique, 0 or more)", func(v string) string { _, reason := parseVoters(v); return reason })
}

func hostPortsCheck() *check {
	return parsedBy("<host>:<port>,...", func(v string) string {
		for _, item := range splitList(v) {
			host, _, reason := splitHostPort(item)
			if reason == "" && host == "" {
				reason = "no host"
			}
			if reason != "" {
				return strconv.Quote(item) + ": " + reason
			}
		}
		return ""
	})
}

func perIPCheck() *check {
	return parsedBy("<address>:<number>,...", func(v string) string { _, reason := parsePerIP(v); return reason })
}

// hostName is what Kafka takes for the name of a host.
var hostName = regexp.MustCompile(`^[0-9a-zA-Z\-%._:]+$`)

// perIP is max.connections.per.ip.overrides: most connections by address, and by the name of a host.
type perIP struct {
	addresses map[netip.Addr]int
	names     map[string]int
}

// parsePerIP parses max.connections.per.ip.overrides. Splits at the last colon, so that IPv6 addresses need no brackets.
func parsePerIP(v string) (perIP, string) {
	out := perIP{make(map[netip.Addr]int), make(map[string]int)}
	for _, item := range splitList(v) {
		i := strings.LastIndexByte(item, ':')
		if i <= 0 {
			return out, strconv.Quote(item) + " is not address:number"
		}
		n, err := strconv.ParseInt(strings.TrimSpace(item[i+1:]), 10, 32)
		if err != nil || n < 0 {
			return out, strconv.Quote(item) + " has no number from 0 up"
		}
		host := strings.Trim(strings.TrimSpace(item[:i]), "[]")
		if ip, err := netip.ParseAddr(host); err == nil {
			out.addresses[ip.Unmap()] = int(n)
		} else if hostName.MatchString(host) {
			out.names[host] = int(n)
		} else {
			return out, strconv.Quote(item) + " has neither an IP address nor the name of a host"
		}
	}
	return out, ""
}

func nonZeroOrMinusOne() *check {
	return &check{"a number from 1 up, or -1 for no limit", func(v string) string {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n == 0 || n < -1 {
			return "out of range"
		}
		return ""
	}}
}

func throttledCheck() *check {
	return parsedBy("<partition>:<broker>,... or *", func(v string) string {
		if v == "*" {
			return ""
		}
		for _, item := range splitList(v) {
			a, b, ok := strings.Cut(item, ":")
			_, err1 := strconv.ParseUint(a, 10, 31)
			_, err2 := strconv.ParseUint(b, 10, 31)
			if !ok || err1 != nil || err2 != nil {
				return strconv.Quote(clip(item, 50)) + " is not <partition>:<broker>"
			}
		}
		return ""
	})
}

func clusterIDCheck() *check {
	return parsedBy("1 to 64 characters out of A-Z a-z 0-9 _ - . (Kafka's own are 22 characters of base64)", func(v string) string {
		if v == "" || len(v) > 64 {
			return "wrong length"
		}
		for _, r := range v {
			if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '-' || r == '.') {
				return "character " + strconv.QuoteRune(r)
			}
		}
		return ""
	})
}

func bucketsCheck() *check {
	return parsedBy(bucketAllowed, func(v string) string {
		b, err := ParseBuckets(v)
		if err != nil {
			return err.Error()
		}
		if len(b) == 0 {
			return "empty"
		}
		return ""
	})
}

func walCheck() *check {
	return parsedBy(walAllowed, func(v string) string {
		if _, err := ParseWAL(v); err != nil {
			return err.Error()
		}
		return ""
	})
}

func endpointCheck() *check {
	return parsedBy("[http://|https://]host[:port]", func(v string) string {
		if _, err := parseEndpoint(v, "https"); err != nil {
			return err.Error()
		}
		return ""
	})
}

func bucketNameCheck() *check {
	return parsedBy("a bucket name", func(v string) string {
		if v == "" || !bucketName(v) {
			return "not a bucket name"
		}
		return ""
	})
}
