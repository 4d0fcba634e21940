package config

import (
	"maps"
	"net/netip"
	"testing"
)

// TestConnections: static values, those of listeners, and what is changed at run time.
func TestConnections(t *testing.T) {
	c, warnings, err := loadQuiet(Source{Overrides: []string{
		"log.dirs=/d", "listeners=PLAINTEXT://h:9092,IN://h:9094,CONTROLLER://h:9093", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,IN:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER", "controller.quorum.voters=1@h:9093", "node.id=1", "process.roles=broker,controller", "inter.broker.listener.name=IN",
		"max.connections=100", "max.connections.per.ip.overrides=10.0.0.1:5, [2001:db8::1]:6, db.example.org:7", "listener.name.in.max.connections=7",
	}})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	none := func(string) (string, bool) { return "", false }
	got := c.Connections(none)
	if got.Max != 100 || got.PerIP != -1 || got.Rate != -1 || !maps.Equal(got.Overrides, map[netip.Addr]int{netip.MustParseAddr("10.0.0.1"): 5, netip.MustParseAddr("2001:db8::1"): 6}) ||
		!maps.Equal(got.OfNames, map[string]int{"db.example.org": 7}) || !maps.Equal(got.Listeners, map[string]ListenerConnections{"IN": {7, -1}}) {
		t.Errorf("%+v", got)
	}
	changed := map[string]string{"max.connections": "2147483647", "max.connections.per.ip": "0", "listener.name.plaintext.max.connection.creation.rate": "3", "max.connections.per.ip.overrides": ""}
	got = c.Connections(func(key string) (string, bool) { v, ok := changed[key]; return v, ok })
	if got.Max != -1 || got.PerIP != 0 || len(got.Overrides)+len(got.OfNames) != 0 || !maps.Equal(got.Listeners, map[string]ListenerConnections{"IN": {7, -1}, "PLAINTEXT": {-1, 3}}) {
		t.Errorf("changed: %+v", got)
	}
	for key, ok := range map[string]bool{"listener.name.in.max.connections": true, "listener.name.in.max.connection.creation.rate": true, "listener.name.max.connections": false, "listener.name.in.message.max.bytes": false} {
		if err := ValidateBroker(key, "5", true); (err == nil) != ok {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := ValidateBroker("listener.name.in.max.connections", "many", true); err == nil {
		t.Error("a bad value with a listener's prefix is accepted")
	}
}
