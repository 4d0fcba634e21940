package engine

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"testing"
)

// TestLimitedHosts: the limit of a host is that of all its addresses once it is found; a host that is not named any more is forgotten.
func TestLimitedHosts(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")
	found := 0
	h := newLimitedHosts(slog.New(slog.DiscardHandler), func() { found++ })
	there := map[string][]netip.Addr{"one": {netip.MustParseAddr("::ffff:10.0.0.1"), c}}
	h.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if ips := there[host]; ips != nil {
			return ips, nil
		}
		return nil, errors.New("no such host")
	}
	want := func(what string, of map[string]int, want map[netip.Addr]int) {
		t.Helper()
		if got := h.limits(of); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	both := map[string]int{"one": 5, "two": 6}
	want("nothing is known yet", both, map[netip.Addr]int{})
	if len(h.kick) != 1 {
		t.Error("nobody is told to look the names up")
	}
	if h.lookUp(t.Context()) || found != 1 {
		t.Errorf("one of two hosts is there; found %d times", found)
	}
	want("the first is known", both, map[netip.Addr]int{a: 5, c: 5})
	there["two"] = []netip.Addr{b}
	if !h.lookUp(t.Context()) || found != 2 {
		t.Errorf("both hosts are there; found %d times", found)
	}
	want("both are known", both, map[netip.Addr]int{a: 5, b: 6, c: 5})
	there["one"] = []netip.Addr{b}
	want("the first is not named", map[string]int{"two": 1}, map[netip.Addr]int{b: 1})
	want("it is named again", map[string]int{"one": 1}, map[netip.Addr]int{})
	if !h.lookUp(t.Context()) {
		t.Error("the host is not found")
	}
	want("it has moved", map[string]int{"one": 1}, map[netip.Addr]int{b: 1})
}
