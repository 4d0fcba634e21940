package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Share holds share groups.
type Share struct {
	SessionTimeout     time.Duration // group.share.session.timeout.ms
	HeartbeatInterval  time.Duration // group.share.heartbeat.interval.ms
	AssignmentInterval time.Duration // group.share.assignment.interval.ms
	InitializeRetry    time.Duration // group.share.initialize.retry.interval.ms
	MaxSize            int           // group.share.max.size
	MaxSessions        int           // group.share.max.share.sessions
	LockDuration       time.Duration // group.share.record.lock.duration.ms
	MaxDeliveries      int           // group.share.delivery.count.limit
	MaxLocks           int           // group.share.partition.max.record.locks

	StatePartitions        int32         // share.coordinator.state.topic.num.partitions
	StateReplicationFactor int16         // share.coordinator.state.topic.replication.factor
	StateMinISR            int64         // share.coordinator.state.topic.min.isr
	StateSegmentBytes      int64         // share.coordinator.state.topic.segment.bytes
	UpdatesPerSnapshot     int           // share.coordinator.snapshot.update.records.per.snapshot
	ColdInterval           time.Duration // share.coordinator.cold.partition.snapshot.interval.ms
	PruneInterval          time.Duration // share.coordinator.state.topic.prune.interval.ms
}

func (b *builder) share() Share {
	return Share{
		SessionTimeout: b.millis("group.share.session.timeout.ms"), HeartbeatInterval: b.millis("group.share.heartbeat.interval.ms"),
		AssignmentInterval: b.millis("group.share.assignment.interval.ms"), InitializeRetry: b.millis("group.share.initialize.retry.interval.ms"),
		MaxSize: int(b.num("group.share.max.size")), MaxSessions: int(b.num("group.share.max.share.sessions")),
		LockDuration: b.millis("group.share.record.lock.duration.ms"), MaxDeliveries: int(b.num("group.share.delivery.count.limit")),
		MaxLocks:        int(b.num("group.share.partition.max.record.locks")),
		StatePartitions: int32(b.num("share.coordinator.state.topic.num.partitions")), StateReplicationFactor: int16(b.num("share.coordinator.state.topic.replication.factor")),
		StateMinISR: b.num("share.coordinator.state.topic.min.isr"), StateSegmentBytes: b.num("share.coordinator.state.topic.segment.bytes"),
		UpdatesPerSnapshot: int(b.num("share.coordinator.snapshot.update.records.per.snapshot")),
		ColdInterval:       b.millis("share.coordinator.cold.partition.snapshot.interval.ms"),
		PruneInterval:      b.millis("share.coordinator.state.topic.prune.interval.ms"),
	}
}

// ShareReset is where a share group begins to read a partition (share.auto.offset.reset).
type ShareReset struct {
	Earliest   bool
	ByDuration bool
	Back       time.Duration // with ByDuration: so far before now
}

const shareResetAllowed = "earliest, latest, or by_duration:<PnDTnHnMn.nS>"

var isoDuration = regexp.MustCompile(`(?i)^P(?:(\d{1,9})D)?(T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{0,9})?)S)?)?$`)

// ParseShareReset reads a value of share.auto.offset.reset.
func ParseShareReset(value string) (r ShareReset, ok bool) {
	kind, period, has := strings.Cut(strings.TrimSpace(value), ":")
	switch kind = strings.ToLower(kind); {
	case has && kind == "by_duration":
		m := isoDuration.FindStringSubmatch(period)
		if m == nil || len(period) < 3 || strings.EqualFold(m[2], "T") {
			return r, false
		}
		seconds := 0.0
		for i, unit := range map[int]float64{1: 86400, 3: 3600, 4: 60, 5: 1} {
			if m[i] != "" {
				n, _ := strconv.ParseFloat(m[i], 64)
				seconds += n * unit
			}
		}
		const most = float64(1<<63-1) / float64(time.Second)
		return ShareReset{ByDuration: true, Back: time.Duration(min(seconds, most/2) * float64(time.Second))}, true
	case has:
		return r, false
	}
	return ShareReset{Earliest: kind == "earliest"}, kind == "earliest" || kind == "latest"
}

func shareResetCheck() *check {
	return parsedBy(shareResetAllowed, func(v string) string {
		if _, ok := ParseShareReset(v); !ok {
			return "not one of these"
		}
		return ""
	})
}
