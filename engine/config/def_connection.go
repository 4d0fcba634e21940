package config

// connectionDefs are the broker keys of connections, requests and fetches.
func connectionDefs() []Def {
	return []Def{
		{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Use: Used, Doc: "Idle time after which a connection is closed; negative: never."},
		{Name: "controller.quota.window.num", Type: Int, Default: "11", check: between(1, 3600), Use: Used, Doc: "Windows over which controller_mutation_rate of clients is measured."},
		{Name: "controller.quota.window.size.seconds", Type: Int, Default: "1", check: between(1, 3600), Use: Used, Doc: "Length of one of them."},
		{Name: "fetch.max.bytes", Type: Int, Default: "57671680", check: atLeast(1024), Use: Used, Doc: "Most bytes in one fetch response, whatever the consumer asks for."},
		{Name: "max.connection.creation.rate", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most new connections a second."},
		{Name: "max.connections", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most connections to this broker."},
		{Name: "max.connections.per.ip", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most connections from one address."},
		{Name: "max.connections.per.ip.overrides", Type: String, check: perIPCheck(), Use: Used, Scope: ClusterWide, Doc: "Most connections of particular addresses or hosts, address:number or name:number each. A name counts for all of its addresses."},
		{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Most incremental fetch sessions."},
		{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", check: atLeast(1), Use: Used, Doc: "Most partitions in one answer of DescribeTopicPartitions."},
		{Name: "num.io.threads", Type: Int, Default: "8", check: atLeast(1), Scope: ClusterWide, Doc: "Requests that may block have goroutines of their own."},
		{Name: "num.network.threads", Type: Int, Default: "3", check: atLeast(1), Use: Used, Doc: "Event loops of this node, 64 at most; unless it is set, half of GOMAXPROCS, 8 at most."},
		{Name: "queued.max.request.bytes", Type: Long, Default: "-1", check: orMinusOne(atLeast(1)), Use: Used, Doc: "Memory for requests that are being received or wait, all connections together; -1: chosen from the machine's memory."},
		{Name: "queued.max.requests", Type: Int, Default: "500", check: atLeast(1), Doc: "Memory is what is bounded: queued.max.request.bytes."},
		{Name: "quota.window.num", Type: Int, Default: "11", check: between(1, 3600), Use: Used, Doc: "Windows over which byte rates, request times and connection rates are measured that quotas limit."},
		{Name: "quota.window.size.seconds", Type: Int, Default: "1", check: between(1, 3600), Use: Used, Doc: "Length of one of them."},
		{Name: "socket.listen.backlog.size", Type: Int, Default: "50", check: atLeast(1), Use: Used, Doc: "Connections that may wait to be accepted; unless it is set, as many as the system allows (net.core.somaxconn)."},
		{Name: "socket.receive.buffer.bytes", Type: Int, Default: "102400", check: orMinusOne(atLeast(1)), Use: Used, Doc: "SO_RCVBUF of connections; unless it is set, and for -1, the system chooses, and adapts it."},
		{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", check: atLeast(1), Use: Used, Doc: "Largest request; a larger one closes its connection."},
		{Name: "socket.send.buffer.bytes", Type: Int, Default: "102400", check: orMinusOne(atLeast(1)), Use: Used, Doc: "SO_SNDBUF of connections; unless it is set, and for -1, the system chooses, and adapts it."},
		{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", check: atLeast(1), Use: Used, Doc: "Largest push of metrics by a client."},
	}
}
