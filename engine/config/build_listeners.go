package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// listeners settles what is bound and what is advertised.
func (b *builder) listeners() error {
	c := b.c
	c.ControllerListenerNames = []string{controllerName}
	if b.isSet("controller.listener.names") {
		c.ControllerListenerNames = nil
		for _, n := range splitList(b.text("controller.listener.names")) {
			c.ControllerListenerNames = append(c.ControllerListenerNames, strings.ToUpper(n))
		}
		if len(c.ControllerListenerNames) == 0 {
			return b.fail("controller.listener.names", "empty", "listener names, comma separated")
		}
	} else {
		b.compute("controller.listener.names", controllerName)
	}
	c.Listeners, _ = parseListeners(b.text("listeners"))
	if c.Embedded && len(c.ControllerListeners()) == 0 {
		// A lone node talks to its own controller in process: nobody needs to know the port, unless everything is default.
		own := controllerName + "://127.0.0.1:0"
		if !b.isSet("listeners") {
			own = embeddedController
		}
		l, _ := parseListeners(own)
		l[0].Name = c.ControllerListenerNames[0]
		c.Listeners = append(c.Listeners, l[0])
		b.compute("listeners", embeddedListener+","+l[0].String())
	}
	switch {
	case len(c.Listeners) == 0:
		return b.fail("listeners", "empty", listenerAllowed)
	case c.Broker && len(c.BrokerListeners()) == 0:
		return b.fail("listeners", "no listener for clients: all are in controller.listener.names", listenerAllowed)
	case c.Controller && len(c.ControllerListeners()) == 0:
		return b.fail("listeners", "this node is a controller, but has no listener called "+strings.Join(c.ControllerListenerNames, " or "),
			"with "+c.ControllerListenerNames[0]+"://<host>:<port> (controller.listener.names)")
	case !c.Broker && len(c.BrokerListeners()) > 0:
		return b.fail("listeners", c.BrokerListeners()[0].Name+" is not in controller.listener.names, and this node is a controller only", "controller listeners only")
	case !c.Controller && len(c.ControllerListeners()) > 0:
		return b.fail("listeners", c.ControllerListeners()[0].Name+" is a controller listener, and this node is a broker only", "listeners for clients only")
	}
	if err := b.protocols(); err != nil {
		return err
	}
	if !c.Broker {
		return nil
	}
	if err := b.advertised(); err != nil {
		return err
	}
	return b.interBroker()
}

// protocols gives every listener its protocol. A controller listener that the default map does not know is PLAINTEXT, as in Kafka.
func (b *builder) protocols() error {
	const mapKey = "listener.security.protocol.map"
	protocolOf, _ := parseProtocolMap(b.text(mapKey))
	for i := range b.c.Listeners {
		l := &b.c.Listeners[i]
		l.Protocol = protocolOf[l.Name]
		if l.Protocol == "" && b.c.isControllerListener(l.Name) && !b.isSet(mapKey) {
			l.Protocol = "PLAINTEXT"
			b.compute(mapKey, cmp.Or(b.computed[mapKey], b.text(mapKey))+","+l.Name+":PLAINTEXT")
		}
		if l.Protocol == "" {
			return b.fail(mapKey, "does not say the protocol of listener "+l.Name, "with "+l.Name+":PLAINTEXT")
		}
		if err := b.served(l.Name, l.Protocol); err != nil {
			return err
		}
	}
	return b.controllerProtocol(protocolOf)
}

// served refuses SASL where nodes call each other.
func (b *builder) served(listener, protocol string) error {
	if !usesSASL(protocol) || !b.c.isControllerListener(listener) {
		return nil
	}
	key := "listeners"
	if listener != protocol {
		key = "listener.security.protocol.map"
	}
	return b.fail(key, "protocol "+protocol+" of listener "+listener+": nodes do not speak SASL to each other", "PLAINTEXT or SSL, with ssl.client.auth=required")
}

// controllerProtocol settles how this node speaks to the controllers, which may all be elsewhere.
func (b *builder) controllerProtocol(protocolOf map[string]string) error {
	const mapKey = "listener.security.protocol.map"
	name := b.c.ControllerListenerNames[0]
	protocol := protocolOf[name]
	if protocol == "" && b.isSet(mapKey) && b.isSet("controller.listener.names") {
		return b.fail(mapKey, "does not say the protocol of the controllers' listener "+name, "with "+name+":PLAINTEXT or "+name+":SSL")
	}
	b.c.ControllerProtocol = cmp.Or(protocol, "PLAINTEXT")
	return b.served(name, b.c.ControllerProtocol)
}

// advertised settles what clients are told: by default the listeners, with this machine's name where no host is given.
func (b *builder) advertised() error {
	c := b.c
	bound := c.BrokerListeners()
	if b.isSet("advertised.listeners") && b.text("advertised.listeners") != "" {
		list, _ := parseListeners(b.text("advertised.listeners"))
		for _, a := range list {
			if c.isControllerListener(a.Name) {
				continue
			}
			i := slices.IndexFunc(bound, func(l Listener) bool { return l.Name == a.Name })
			if i < 0 {
				return b.fail("advertised.listeners", "listener "+a.Name+" is not in listeners", "names out of listeners")
			}
			if a.Host == "" {
				return b.fail("advertised.listeners", "no host for "+a.Name, "a host that clients can reach")
			}
			a.Protocol = bound[i].Protocol
			c.AdvertisedListeners = append(c.AdvertisedListeners, a)
		}
	} else if c.Embedded && !b.isSet("listeners") {
		c.AdvertisedListeners, _ = parseListeners(embeddedAdvertised)
		c.AdvertisedListeners[0].Protocol = "PLAINTEXT"
	} else {
		for _, l := range bound {
			if l.Host == "" {
				l.Host = b.src.Hostname()
			}
			c.AdvertisedListeners = append(c.AdvertisedListeners, l)
		}
	}
	if len(c.AdvertisedListeners) == 0 {
		return b.fail("advertised.listeners", "no listener for clients", "names out of listeners")
	}
	texts := make([]string, len(c.AdvertisedListeners))
	for i, a := range c.AdvertisedListeners {
		if a.Host == "0.0.0.0" || a.Host == "::" {
			return b.fail("advertised.listeners", a.Host+" of "+a.Name+" is no address that a client can reach", "a host name or address of this machine for each listener that binds "+a.Host)
		}
		texts[i] = a.String()
	}
	b.compute("advertised.listeners", strings.Join(texts, ","))
	return nil
}

func (b *builder) interBroker() error {
	c := b.c
	bound := c.BrokerListeners()
	if name := strings.ToUpper(b.text("inter.broker.listener.name")); name != "" {
		i := slices.IndexFunc(bound, func(l Listener) bool { return l.Name == name })
		if i < 0 {
			return b.fail("inter.broker.listener.name", "is not in listeners", "one of the listeners that are not in controller.listener.names")
		}
		// Kafka refuses both keys even when they agree, as they do in a printed configuration.
		if b.isSet("security.inter.broker.protocol") && b.text("security.inter.broker.protocol") != bound[i].Protocol {
			return b.fail("security.inter.broker.protocol", "inter.broker.listener.name is set too, and that listener's protocol is "+bound[i].Protocol, "one of the two")
		}
		c.InterBrokerListenerName = name
		return b.amongBrokers(bound, "inter.broker.listener.name")
	}
	protocol := b.text("security.inter.broker.protocol")
	if len(bound) == 1 && !b.isSet("security.inter.broker.protocol") {
		protocol = bound[0].Protocol // Kafka insists on being told
		b.compute("security.inter.broker.protocol", protocol)
	}
	i := slices.IndexFunc(bound, func(l Listener) bool { return l.Name == protocol })
	if i < 0 {
		i = slices.IndexFunc(bound, func(l Listener) bool { return l.Protocol == protocol })
	}
	if i < 0 {
		return b.fail("security.inter.broker.protocol", "no listener has this protocol",
			"a protocol of one of the listeners ("+strconv.Itoa(len(bound))+" configured), or inter.broker.listener.name instead")
	}
	c.InterBrokerListenerName = bound[i].Name
	b.compute("inter.broker.listener.name", c.InterBrokerListenerName)
	return b.amongBrokers(bound, "security.inter.broker.protocol")
}

// amongBrokers refuses a listener between brokers that they cannot call.
func (b *builder) amongBrokers(bound []Listener, key string) error {
	for _, l := range bound {
		if l.Name == b.c.InterBrokerListenerName && usesSASL(l.Protocol) {
			return b.fail(key, "listener "+l.Name+" has the protocol "+l.Protocol+", and nodes do not speak SASL to each other", "a listener with PLAINTEXT or SSL")
		}
	}
	return nil
}
