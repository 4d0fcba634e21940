package engine

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// hostLookup and hostRetry bound how long the name of a host is looked up, and are the pause before one that was not found is looked up again.
const (
	hostLookup = 10 * time.Second
	hostRetry  = 30 * time.Second
)

// limitedHosts knows the addresses of the hosts that max.connections.per.ip.overrides names. A name is looked up when a limit names it first, by a goroutine of its own; until
// it is found, no limit of its own holds for the host. All methods are safe for concurrent use.
type limitedHosts struct {
	log    *slog.Logger
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	found  func() // there are more addresses than before
	kick   chan struct{}

	mu struct {
		sync.Mutex
		wanted map[string]bool
		known  map[string][]netip.Addr
	}
}

func newLimitedHosts(log *slog.Logger, found func()) *limitedHosts {
	h := &limitedHosts{log: log, found: found, kick: make(chan struct{}, 1)}
	h.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	h.mu.known = make(map[string][]netip.Addr)
	return h
}

// limits are those of the addresses that are known of hosts.
func (h *limitedHosts) limits(of map[string]int) map[netip.Addr]int {
	out := make(map[netip.Addr]int)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.wanted = make(map[string]bool, len(of))
	for _, host := range slices.Sorted(maps.Keys(of)) {
		h.mu.wanted[host] = true
		for _, ip := range h.mu.known[host] {
			out[ip] = of[host]
		}
	}
	maps.DeleteFunc(h.mu.known, func(host string, _ []netip.Addr) bool { return !h.mu.wanted[host] })
	if len(h.mu.known) < len(of) {
		select {
		case h.kick <- struct{}{}:
		default:
		}
	}
	return out
}

// run looks names up until ctx ends.
func (h *limitedHosts) run(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.kick:
		case <-retry.C:
		}
		if !h.lookUp(ctx) {
			retry.Reset(hostRetry)
		}
	}
}

// lookUp looks up the names whose addresses are not known, and reports whether now all are.
func (h *limitedHosts) lookUp(ctx context.Context) (all bool) {
	all = true
	h.mu.Lock()
	wanted := slices.Sorted(maps.Keys(h.mu.wanted))
	wanted = slices.DeleteFunc(wanted, func(host string) bool { return h.mu.known[host] != nil })
	h.mu.Unlock()
	for _, host := range wanted {
		bounded, cancel := context.WithTimeout(ctx, hostLookup)
		ips, err := h.lookup(bounded, host)
		cancel()
		if err != nil || len(ips) == 0 {
			all = false
			if ctx.Err() == nil {
				h.log.Warn("max.connections.per.ip.overrides: a host is not found, and has no limit of its own until it is", "host", host, "cause", err, "again_in", hostRetry)
			}
			continue
		}
		for i := range ips {
			ips[i] = ips[i].Unmap()
		}
		h.mu.Lock()
		still := h.mu.wanted[host]
		if still {
			h.mu.known[host] = ips
		}
		h.mu.Unlock()
		if still {
			h.found()
		}
	}
	return all
}
