package config

// serverDefs are the broker keys of roles, identity, listeners, directories, the quorum and topics.
func serverDefs() []Def {
	return []Def{
		{Name: "advertised.listeners", Type: List, Null: true, check: listenersCheck(), Use: Used, Doc: "What clients are told to connect to; by default the listeners."},
		{Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Use: Used, Doc: "Whether asking for the metadata of an unknown topic creates it."},
		{Name: "broker.heartbeat.interval.ms", Type: Int, Default: "2000", check: atLeast(1), Use: Used, Doc: "Time between a broker's heartbeats to the controller."},
		{Name: "broker.id", Type: Int, Default: "-1", Use: Used, Doc: "Older name of node.id."},
		{Name: "broker.rack", Type: String, Null: true, Use: Used, Doc: "Rack of this broker, told to clients and used to spread partitions."},
		{Name: "broker.session.timeout.ms", Type: Int, Default: "9000", check: atLeast(1), Use: Used, Doc: "Time without a heartbeat after which a broker is fenced."},
		{Name: "controlled.shutdown.enable", Type: Boolean, Default: "true", Use: Used, Doc: "Whether a stopping broker hands its partitions over first."},
		{Name: "controller.listener.names", Type: List, Null: true, Use: Used, Doc: "Names of the listeners that serve the metadata quorum."},
		{Name: "controller.quorum.bootstrap.servers", Type: List, check: hostPortsCheck(), Use: Used, Doc: "Controllers to ask for the quorum, host:port each."},
		{Name: "controller.quorum.election.timeout.ms", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Time without a leader after which a controller stands for election."},
		{Name: "controller.quorum.fetch.timeout.ms", Type: Int, Default: "2000", check: atLeast(0), Doc: "controller.quorum.election.timeout.ms has both parts: after that silence a controller stands for election."},
		{Name: "controller.quorum.request.timeout.ms", Type: Int, Default: "2000", check: atLeast(0), Use: Used, Doc: "Longest wait of a request between nodes of the quorum."},
		{Name: "controller.quorum.voters", Type: List, check: votersCheck(), Use: Used, Doc: "The voters of the metadata quorum, id@host:port each."},
		{Name: "default.replication.factor", Type: Int, Default: "1", check: between(1, 32_767), Use: Used, Doc: "Replication factor of a topic that is created without saying which."},
		{Name: "delete.topic.enable", Type: Boolean, Default: "true", Use: Used, Doc: "Whether topics can be deleted."},
		{Name: "inter.broker.listener.name", Type: String, Null: true, Use: Used, Doc: "Listener for traffic between brokers."},
		{Name: "listener.security.protocol.map", Type: String, Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", check: protocolMapCheck(), Use: Used, Scope: PerBroker, Doc: "Security protocol of each listener name."},
		{Name: "listeners", Type: List, Default: "PLAINTEXT://:9092", check: listenersCheck(), Use: Used, Scope: PerBroker, Doc: "Sockets to bind, NAME://host:port each; an empty host binds every address, port 0 takes any free port."},
		{Name: "log.dir", Type: List, Default: "/tmp/kafka-logs", check: nonEmpty(pathsAllowed), Use: Used, Doc: "Older name of log.dirs; used when log.dirs is not set."},
		{Name: "log.dirs", Type: List, Null: true, check: nonEmpty(pathsAllowed), Use: Used, Doc: "Directories of this node; the first holds meta.properties and, unless configured otherwise, metadata, write-ahead log and objects."},
		{Name: "metadata.log.dir", Type: String, Null: true, Use: Used, Doc: "Directory of the metadata log; by default the first of log.dirs."},
		{Name: "metadata.log.max.record.bytes.between.snapshots", Type: Long, Default: "20971520", check: atLeast(1), Use: Used, Doc: "Metadata log bytes after which a snapshot is written."},
		{Name: "metadata.log.max.snapshot.interval.ms", Type: Long, Default: "3600000", check: atLeast(0), Doc: "Snapshots follow the size of the log: metadata.log.max.record.bytes.between.snapshots."},
		{Name: "node.id", Type: Int, Null: true, check: atLeast(0), Use: Used, Doc: "Number of this node, unique in the cluster."},
		{Name: "num.partitions", Type: Int, Default: "1", check: atLeast(1), Use: Used, Doc: "Partitions of a topic that is created without saying how many."},
		{Name: "process.roles", Type: List, Null: true, check: listOf(false, "broker", "controller"), Use: Used, Doc: "What this node is: broker, controller or both; nothing at all starts a single node that is both."},
	}
}
