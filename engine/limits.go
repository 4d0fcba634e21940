package engine

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/netpoll"
)

// Limits of connections: max.connections and its relatives, of the configuration and changed at run time, and quotas of addresses. netpoll enforces them.

// followLimits takes changed limits.
func (b *Broker) followLimits(next *kraft.Image, delta *kraft.Delta) {
	mine, all := kraft.BrokerResource(b.cfg.NodeID), kraft.BrokerResource(-1)
	if delta.Full || slices.ContainsFunc(delta.Configs, func(r record.ConfigResource) bool { return r.Type == record.QuotaConfig || r == mine || r == all }) {
		b.setLimits(next)
	}
}

// setLimits has the limits of an image enforced; of the last one when img is nil: more is known of the hosts that it names.
func (b *Broker) setLimits(img *kraft.Image) {
	b.limited.Lock()
	defer b.limited.Unlock()
	switch {
	case img != nil:
		b.limited.img = img
	case b.limited.img == nil: // nothing has changed since the start
		b.limited.img = b.node.Image()
	}
	b.server.SetLimits(b.limits(b.limited.img))
}

// limits are those of an image.
func (b *Broker) limits(img *kraft.Image) netpoll.Limits {
	c := b.cfg.Connections(b.dynamic(img))
	perIP := b.hosts.limits(c.OfNames)
	maps.Copy(perIP, c.Overrides) // an address says more than a name
	out := netpoll.Limits{
		Max: noneIsZero(c.Max), MaxPerIP: noneIsZero(c.PerIP), Rate: float64(max(c.Rate, 0)),
		MaxOf: perIP, Listeners: make(map[string]netpoll.ListenerLimits),
		RateOf: addressRates(img), Samples: b.cfg.Quotas.Windows, Window: b.cfg.Quotas.WindowSize,
	}
	if len(b.cfg.BrokerListeners()) > 1 {
		out.Protected = b.cfg.InterBrokerListenerName
	}
	for name, l := range c.Listeners {
		out.Listeners[name] = netpoll.ListenerLimits{Max: noneIsZero(l.Max), Rate: float64(max(l.Rate, 0))}
	}
	return out
}

// dynamic is what was changed of broker keys at run time: of this broker, else of all.
func (b *Broker) dynamic(img *kraft.Image) func(key string) (string, bool) {
	mine, all := kraft.BrokerResource(b.cfg.NodeID), kraft.BrokerResource(-1)
	return func(key string) (string, bool) {
		if v, ok := img.Config(mine, key); ok {
			return v, true
		}
		return img.Config(all, key)
	}
}

// noneIsZero turns config's limits, where -1 is none and 0 allows nothing, into netpoll's.
func noneIsZero(n int) int {
	switch n {
	case -1:
		return 0
	case 0:
		return -1
	}
	return n
}

// addressRates are the quotas of addresses; nil: there are none.
func addressRates(img *kraft.Image) func(netip.Addr) float64 {
	rates := make(map[netip.Addr]float64)
	all := 0.0
	kraft.Quotas(img, func(e kraft.QuotaEntity, values map[string]float64) bool {
		name, ok := e[kraft.QuotaIP]
		rate := values[kraft.QuotaConnectionRate]
		switch {
		case !ok || rate <= 0:
		case name == nil:
			all = rate
		default:
			if ip, err := netip.ParseAddr(*name); err == nil {
				rates[ip.Unmap()] = rate
			}
		}
		return true
	})
	if all == 0 && len(rates) == 0 {
		return nil
	}
	return func(ip netip.Addr) float64 {
		if rate, ok := rates[ip]; ok {
			return rate
		}
		return all
	}
}
