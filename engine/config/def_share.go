package config

// shareDefs are the broker keys of share groups.
func shareDefs() []Def {
	return []Def{
		{Name: "group.share.assignment.interval.ms", Type: Int, Default: "1000", check: atLeast(0), Scope: ClusterWide, Use: Used, Doc: "Time between two target assignments of a share group, at least."},
		{Name: "group.share.delivery.count.limit", Type: Int, Default: "5", check: between(2, 10), Use: Used, Doc: "How often a record is delivered to a share group at most."},
		{Name: "group.share.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Use: Used, Doc: "Heartbeat interval that members of share groups are given."},
		{Name: "group.share.initialize.retry.interval.ms", Type: Int, Default: "30000", check: atLeast(1), Internal: true, Use: Used, Doc: "After how long the state of a partition that is not there yet is asked for again."},
		{Name: "group.share.max.assignment.interval.ms", Type: Int, Default: "15000", check: atLeast(0), Use: Used, Doc: "Largest share.assignment.interval.ms of a group."},
		{Name: "group.share.max.delivery.count.limit", Type: Int, Default: "10", check: between(5, 25), Use: Used, Doc: "Largest share.delivery.count.limit of a group."},
		{Name: "group.share.max.heartbeat.interval.ms", Type: Int, Default: "15000", check: atLeast(1), Use: Used, Doc: "Largest share.heartbeat.interval.ms of a group."},
		{Name: "group.share.max.partition.max.record.locks", Type: Int, Default: "4000", check: between(2000, 10_000), Use: Used, Doc: "Largest share.partition.max.record.locks of a group."},
		{Name: "group.share.max.record.lock.duration.ms", Type: Int, Default: "60000", check: between(30_000, 3_600_000), Use: Used, Doc: "Largest share.record.lock.duration.ms of a group."},
		{Name: "group.share.max.session.timeout.ms", Type: Int, Default: "60000", check: atLeast(1), Use: Used, Doc: "Largest share.session.timeout.ms of a group."},
		{Name: "group.share.max.share.sessions", Type: Int, Default: "2000", check: atLeast(1), Use: Used, Doc: "Most share sessions of a broker, one for each member that fetches."},
		{Name: "group.share.max.size", Type: Int, Default: "200", check: between(1, 1000), Use: Used, Doc: "Most members of a share group."},
		{Name: "group.share.min.assignment.interval.ms", Type: Int, Default: "0", check: atLeast(0), Use: Used, Doc: "Smallest share.assignment.interval.ms of a group."},
		{Name: "group.share.min.delivery.count.limit", Type: Int, Default: "2", check: between(2, 5), Use: Used, Doc: "Smallest share.delivery.count.limit of a group."},
		{Name: "group.share.min.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Use: Used, Doc: "Smallest share.heartbeat.interval.ms of a group."},
		{Name: "group.share.min.partition.max.record.locks", Type: Int, Default: "100", check: between(100, 2000), Use: Used, Doc: "Smallest share.partition.max.record.locks of a group."},
		{Name: "group.share.min.record.lock.duration.ms", Type: Int, Default: "15000", check: between(1000, 30_000), Use: Used, Doc: "Smallest share.record.lock.duration.ms of a group."},
		{Name: "group.share.min.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Use: Used, Doc: "Smallest share.session.timeout.ms of a group."},
		{Name: "group.share.partition.max.record.locks", Type: Int, Default: "2000", check: between(100, 10_000), Use: Used, Doc: "Most records of a partition between the first that a share group has not done with and the last that it was given."},
		{Name: "group.share.record.lock.duration.ms", Type: Int, Default: "30000", check: between(1000, 3_600_000), Use: Used, Doc: "How long a member of a share group has a record before it is delivered again."},
		{Name: "group.share.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Use: Used, Doc: "Time without a heartbeat after which a member of a share group is removed."},
		{Name: "share.coordinator.cold.partition.snapshot.interval.ms", Type: Int, Default: "300000", check: atLeast(1), Internal: true, Use: Used, Doc: "After how long without a write a state of a share group is written again, so that the log behind it can go."},
		{Name: "share.coordinator.snapshot.update.records.per.snapshot", Type: Int, Default: "500", check: between(0, 500), Use: Used, Doc: "After how many updates of a state of a share group all of it is written."},
		{Name: "share.coordinator.state.topic.min.isr", Type: Short, Default: "2", check: atLeast(1), Use: Used, Doc: "min.insync.replicas of __share_group_state."},
		{Name: "share.coordinator.state.topic.num.partitions", Type: Int, Default: "50", check: atLeast(1), Use: Used, Doc: "Partitions of __share_group_state; cannot change after its creation."},
		{Name: "share.coordinator.state.topic.prune.interval.ms", Type: Int, Default: "300000", check: atLeast(1), Internal: true, Use: Used, Doc: "How often what no longer counts is deleted from __share_group_state."},
		{Name: "share.coordinator.state.topic.replication.factor", Type: Short, Default: "3", check: atLeast(1), Use: Used, Doc: "Replication factor of __share_group_state."},
		{Name: "share.coordinator.state.topic.segment.bytes", Type: Int, Default: "104857600", check: atLeast(1), Use: Used, Doc: "segment.bytes of __share_group_state."},
	}
}
