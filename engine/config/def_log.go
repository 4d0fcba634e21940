package config

// logDefs are the broker keys of the broker side of topic settings.
func logDefs() []Def {
	return []Def{
		{Name: "compression.gzip.level", Type: Int, Default: "-1", check: orMinusOne(between(1, 9)), Use: Used, Scope: ClusterWide, Doc: "Level when the broker compresses with gzip."},
		{Name: "compression.lz4.level", Type: Int, Default: "9", check: between(1, 17), Use: Used, Scope: ClusterWide, Doc: "Level when the broker compresses with lz4."},
		{Name: "compression.type", Type: String, Default: "producer", check: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), Use: Used, Scope: ClusterWide, Doc: "Default of compression.type."},
		{Name: "compression.zstd.level", Type: Int, Default: "3", check: between(-131_072, 22), Use: Used, Scope: ClusterWide, Doc: "Level when the broker compresses with zstd."},
		{Name: "log.cleaner.backoff.ms", Type: Long, Default: "15000", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "How long log compaction waits when nothing is to be cleaned."},
		{Name: "log.cleaner.dedupe.buffer.size", Type: Long, Default: "134217728", Use: Used, Scope: ClusterWide, Doc: "Memory of all cleaner threads together for the last offsets of keys, 24 bytes a key."},
		{Name: "log.cleaner.delete.retention.ms", Type: Long, Default: "86400000", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Default of delete.retention.ms."},
		{Name: "log.cleaner.enable", Type: Boolean, Default: "true", Use: Used, Doc: "Whether this broker compacts topics with cleanup.policy=compact."},
		{Name: "log.cleaner.io.buffer.load.factor", Type: Double, Default: "0.9", Use: Used, Scope: ClusterWide, Doc: "How full the memory for the last offsets of keys may be, 0 to 1."},
		{Name: "log.cleaner.io.buffer.size", Type: Int, Default: "524288", check: atLeast(0), Scope: ClusterWide, Doc: "Accepted without effect: objects are read ahead in pieces of their own size."},
		{Name: "log.cleaner.io.max.bytes.per.second", Type: Double, Default: "1.7976931348623157E308", Use: Used, Scope: ClusterWide, Doc: "Most that log compaction reads and writes, beside the bound of all compaction of objects."},
		{Name: "log.cleaner.max.compaction.lag.ms", Type: Long, Default: "9223372036854775807", check: atLeast(1), Use: Used, Scope: ClusterWide, Doc: "Default of max.compaction.lag.ms."},
		{Name: "log.cleaner.min.cleanable.ratio", Type: Double, Default: "0.5", check: fraction(0, 1), Use: Used, Scope: ClusterWide, Doc: "Default of min.cleanable.dirty.ratio."},
		{Name: "log.cleaner.min.compaction.lag.ms", Type: Long, Default: "0", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Default of min.compaction.lag.ms."},
		{Name: "log.cleaner.threads", Type: Int, Default: "1", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "How many partitions are compacted at a time; they take turns at the object store."},
		{Name: "log.cleanup.policy", Type: List, Default: "delete", check: listOf(true, "compact", "delete"), Use: Used, Scope: ClusterWide, Doc: "Default of cleanup.policy."},
		{Name: "log.message.timestamp.after.max.ms", Type: Long, Default: "3600000", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Default of message.timestamp.after.max.ms."},
		{Name: "log.message.timestamp.before.max.ms", Type: Long, Default: "9223372036854775807", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Default of message.timestamp.before.max.ms."},
		{Name: "log.message.timestamp.type", Type: String, Default: "CreateTime", check: oneOf("CreateTime", "LogAppendTime"), Use: Used, Scope: ClusterWide, Doc: "Default of message.timestamp.type."},
		{Name: "log.retention.bytes", Type: Long, Default: "-1", check: atLeast(-1), Use: Used, Scope: ClusterWide, Doc: "Default of retention.bytes."},
		{Name: "log.retention.check.interval.ms", Type: Long, Default: "300000", check: atLeast(1), Use: Used, Doc: "How often retention is applied."},
		{Name: "log.retention.hours", Type: Int, Default: "168", check: nonZeroOrMinusOne(), Use: Used, Doc: "Default of retention.ms in hours."},
		{Name: "log.retention.minutes", Type: Int, Null: true, check: nonZeroOrMinusOne(), Use: Used, Doc: "Default of retention.ms in minutes; goes before hours."},
		{Name: "log.retention.ms", Type: Long, Null: true, check: nonZeroOrMinusOne(), Use: Used, Scope: ClusterWide, Doc: "Default of retention.ms; goes before minutes and hours."},
		{Name: "log.roll.hours", Type: Int, Default: "168", check: atLeast(1), Use: Used, Doc: "Default of segment.ms in hours."},
		{Name: "log.roll.ms", Type: Long, Null: true, Use: Used, Scope: ClusterWide, Doc: "Default of segment.ms; goes before hours."},
		{Name: "log.segment.bytes", Type: Int, Default: "1073741824", check: atLeast(1_048_576), Use: Used, Scope: ClusterWide, Doc: "Default of segment.bytes."},
		{Name: "message.max.bytes", Type: Int, Default: "1048588", check: atLeast(0), Use: Used, Scope: ClusterWide, Doc: "Default of max.message.bytes."},
		{Name: "min.insync.replicas", Type: Int, Default: "1", check: atLeast(1), Use: Used, Scope: ClusterWide, Doc: "Copies that must exist before a write with acks=all is acknowledged."},
	}
}
