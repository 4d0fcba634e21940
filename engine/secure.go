package engine

import (
	"slices"

	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/netpoll"
)

// securityProtocols in the order of their numbers on the wire.
var securityProtocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

func securityProtocol(name string) int16 { return int16(slices.Index(securityProtocols, name)) }

// userType is the type of all principals.
const userType = "User:"

// identify settles who is at the other end of a new connection. A certificate that no mapping rule fits ends it, as in Kafka.
func (b *Broker) identify(c *netpoll.Conn, st *connState) {
	st.principal = userType + tlsconf.Anonymous
	if sasl := b.cfg.SASLOf(st.listener); sasl != nil {
		st.auth = &authentication{config: sasl}
		c.LimitFrames(sasl.MaxReceiveBytes)
		return
	}
	state := c.TLS()
	if state == nil {
		return
	}
	name, err := b.secure.Of(st.listener).Principal(state)
	if err != nil {
		if b.rejects.allow() {
			b.log.Warn("connection refused: its certificate names nobody", "remote", c.RemoteAddr(), "listener", st.listener, "cause", err)
		}
		c.Close(err)
		return
	}
	st.principal = userType + name
}

// followSecurity takes ssl.* keys that were changed at run time, of this broker or of all.
func (b *Broker) followSecurity(next *kraft.Image, delta *kraft.Delta) {
	mine, all := kraft.BrokerResource(b.cfg.NodeID), kraft.BrokerResource(-1)
	if !delta.Full && !slices.ContainsFunc(delta.Configs, func(r record.ConfigResource) bool { return r == mine || r == all }) {
		return
	}
	b.secure.Update(b.dynamic(next))
}
