package config

// olderDefs are broker keys that Kafka 4.3 does not define in its own table: of 3.9, of 4.4, of the authorizer, and those that exist
// at run time only.
func olderDefs() []Def {
	return []Def{
		// of the standard authorizer
		{Name: "super.users", Type: String, Null: true, check: superUsersCheck(), Use: Used, Extra: true, Doc: "Principals that may do everything: User:<name>;User:<name>."},
		{Name: "allow.everyone.if.no.acl.found", Type: Boolean, Default: "false", Use: Used, Extra: true, Doc: "Whether what no access control entry is about is open to everybody."},
		// dynamic only: replication quotas
		{Name: "leader.replication.throttled.rate", Type: Long, Default: "9223372036854775807", check: atLeast(0), Scope: ClusterWide, Extra: true},
		{Name: "follower.replication.throttled.rate", Type: Long, Default: "9223372036854775807", check: atLeast(0), Scope: ClusterWide, Extra: true},
		{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: Long, Default: "9223372036854775807", check: atLeast(0), Scope: ClusterWide, Extra: true},
		// 3.9
		{Name: "inter.broker.protocol.version", Type: String, Null: true, Extra: true},
		{Name: "log.message.format.version", Type: String, Null: true, Extra: true},
		{Name: "log.message.downconversion.enable", Type: Boolean, Default: "true", Extra: true},
		{Name: "log.message.timestamp.difference.max.ms", Type: Long, Default: "9223372036854775807", check: atLeast(0), Use: Warned, Extra: true},
		{Name: "log.segment.min.bytes", Type: Int, Null: true, Extra: true},
		{Name: "metadata.log.segment.min.bytes", Type: Int, Null: true, Extra: true},
		{Name: "control.plane.listener.name", Type: String, Null: true, Use: Warned, Extra: true},
		{Name: "broker.id.generation.enable", Type: Boolean, Default: "true", Extra: true},
		{Name: "reserved.broker.max.id", Type: Int, Default: "1000", check: atLeast(0), Extra: true},
		{Name: "controlled.shutdown.max.retries", Type: Int, Default: "3", Extra: true},
		{Name: "controlled.shutdown.retry.backoff.ms", Type: Long, Default: "5000", Extra: true},
		{Name: "leader.imbalance.per.broker.percentage", Type: Int, Default: "10", Extra: true},
		{Name: "offsets.commit.required.acks", Type: Short, Default: "-1", Extra: true},
		{Name: "auto.include.jmx.reporter", Type: Boolean, Default: "true", Extra: true},
		{Name: "eligible.leader.replicas.enable", Type: Boolean, Default: "false", Extra: true},
		{Name: "sasl.oauthbearer.header.urlencode", Type: Boolean, Default: "false", Use: Warned, Extra: true},
		{Name: "delegation.token.master.key", Type: Password, Null: true, Use: Warned, Extra: true},
		// 4.4
		{Name: "log.remote.copy.lag.bytes", Type: Long, Default: "-1", check: atLeast(-2), Extra: true},
		{Name: "log.remote.copy.lag.ms", Type: Long, Default: "-1", check: atLeast(-2), Extra: true},
		{Name: "group.streams.assignors", Type: List, Default: "", Extra: true},
		{Name: "remote.log.metadata.topic.min.isr", Type: Short, Default: "2", check: atLeast(1), Extra: true},
	}
}

// clientPrefixes begin keys that belong to plugins, listeners or other programs that share the file: known, but without use here.
var clientPrefixes = []string{
	"listener.name.", "ssl.", "sasl.", "zookeeper.", "confluent.", "config.providers.", "password.encoder.", "metrics.", "kafka.metrics.",
	"metric.reporters.", "rsm.config.", "rlmm.config.", "log4j.", "otel.", "elasticstream.", "automq.table.topic.", "producer.", "consumer.", "admin.",
}
