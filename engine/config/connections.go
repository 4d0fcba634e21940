package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Connections is how many connections clients may have, and how fast they may open them; -1 in a number: no limit.
type Connections struct {
	Max       int                            // max.connections
	PerIP     int                            // max.connections.per.ip
	Overrides map[netip.Addr]int             // max.connections.per.ip.overrides, by address
	OfNames   map[string]int                 // and by the name of a host
	Rate      int                            // max.connection.creation.rate
	Listeners map[string]ListenerConnections // by name; those with limits of their own
}

// ListenerConnections are listener.name.<name>.max.connections and listener.name.<name>.max.connection.creation.rate.
type ListenerConnections struct{ Max, Rate int }

// connectionKeys are the keys that a listener may have of its own beside its security.
var connectionKeys = []string{"max.connections", "max.connection.creation.rate"}

// Connections are the limits with what was changed at run time.
func (c *Config) Connections(changed func(key string) (string, bool)) Connections {
	get := func(key string) string {
		if v, ok := changed(key); ok {
			return v
		}
		if v, ok := c.scoped[key]; ok {
			return v
		}
		return c.values[key].value
	}
	out := Connections{
		Max: connectionLimit(get("max.connections")), PerIP: connectionLimit(get("max.connections.per.ip")), Rate: connectionLimit(get("max.connection.creation.rate")),
		Listeners: make(map[string]ListenerConnections),
	}
	overrides, _ := parsePerIP(get("max.connections.per.ip.overrides"))
	out.Overrides, out.OfNames = overrides.addresses, overrides.names
	for _, l := range c.BrokerListeners() {
		own := ListenerConnections{connectionLimit(get(listenerKey(l.Name, connectionKeys[0]))), connectionLimit(get(listenerKey(l.Name, connectionKeys[1])))}
		if own.Max >= 0 || own.Rate >= 0 {
			out.Listeners[l.Name] = own
		}
	}
	return out
}

// connectionLimit reads a number; nothing, and Kafka's default, are no limit.
func connectionLimit(v string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
	if err != nil || n == math.MaxInt32 {
		return -1
	}
	return int(n)
}

// isConnectionKey says that a key with a listener's prefix is about its connections.
func isConnectionKey(rest string) (key string, ok bool) {
	for _, key := range connectionKeys {
		if name, found := strings.CutSuffix(rest, "."+key); found && name != "" {
			return key, true
		}
	}
	return "", false
}
