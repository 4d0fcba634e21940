package config

// connectionDefs are the broker keys of connections, requests and fetches.
func connectionDefs() []Def {
	return []Def{
		{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Use: Used, Doc: "Idle time after which a connection is closed; negative: never."},
		{Name: "fetch.max.bytes", Type: Int, Default: "57671680", check: atLeast(1024), Use: Used, Doc: "Most bytes in one fetch response, whatever the consumer asks for."},
		{Name: "max.connection.creation.rate", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most new connections a second."},
		{Name: "max.connections", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most connections to this broker."},
		{Name: "max.connections.per.ip", Type: Int, Default: "2147483647", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Most connections from one address."},
		{Name: "max.connections.per.ip.overrides", Type: String, check: perIPCheck(), Use: Used, Scope: ClusterWide, Doc: "Most connections of particular addresses, host:number each."},
		{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Most incremental fetch sessions."},
		{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", check: atLeast(1), Use: Used, Doc: "Most partitions in one answer of DescribeTopicPartitions."},
		{Name: "num.io.threads", Type: Int, Default: "8", check: atLeast(1), Use: Used, Scope: ClusterWide, Doc: "Upper bound of workers for requests that may block."},
		{Name: "num.network.threads", Type: Int, Default: "3", check: atLeast(1), Use: Used, Scope: ClusterWide, Doc: "Upper bound of event loops per listener."},
		{Name: "queued.max.request.bytes", Type: Long, Default: "-1", check: orMinusOne(atLeast(1)), Use: Used, Doc: "Memory for requests that are being received or wait, all connections together; -1: chosen from the machine's memory."},
		{Name: "queued.max.requests", Type: Int, Default: "500", check: atLeast(1), Use: Used, Doc: "Most requests waiting to be served."},
		{Name: "socket.listen.backlog.size", Type: Int, Default: "50", check: atLeast(1), Use: Used, Doc: "Connections that may wait to be accepted."},
		{Name: "socket.receive.buffer.bytes", Type: Int, Default: "102400", check: orMinusOne(atLeast(1)), Use: Used, Doc: "SO_RCVBUF of connections; -1: the system's default."},
		{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", check: atLeast(1), Use: Used, Doc: "Largest request; a larger one closes its connection."},
		{Name: "socket.send.buffer.bytes", Type: Int, Default: "102400", check: orMinusOne(atLeast(1)), Use: Used, Doc: "SO_SNDBUF of connections; -1: the system's default."},
	}
}
