package telemetry

// Cleaner is what log compaction is doing. Percentages and seconds are those of the last cleaning.
type Cleaner struct {
	MaxDirtyPercent  int // of the partitions that this broker leads, the largest share of dirty bytes
	RecopyPercent    int // bytes written for those read
	MaxBufferPercent int // of the memory for keys that was in use
	CleanSeconds     int
	Uncleanable      int // partitions that are left alone because of a damaged batch
	Running          int // cleanings
	MillisSinceLast  int64
	Cleanings        int64 // partitions cleaned so far
	BytesRead        int64
	BytesWritten     int64
	BytesRemoved     int64
}

func (s sink) cleaner(c Cleaner) {
	// Kafka's names, as its JMX exporter writes them.
	gauge(s, "kafka_log_logcleanermanager_max_dirty_percent", "Largest share of dirty bytes of a compacted partition.", c.MaxDirtyPercent)
	gauge(s, "kafka_log_logcleanermanager_time_since_last_run_ms", "Milliseconds since a cleaning began.", c.MillisSinceLast)
	gauge(s, "kafka_log_logcleanermanager_uncleanable_partitions_count", "Partitions that are not compacted because they have a damaged batch.", c.Uncleanable)
	gauge(s, "kafka_log_logcleaner_cleaner_recopy_percent", "Bytes that the last cleaning wrote for those it read.", c.RecopyPercent)
	gauge(s, "kafka_log_logcleaner_max_clean_time_secs", "Seconds that the last cleaning took.", c.CleanSeconds)
	gauge(s, "kafka_log_logcleaner_max_buffer_utilization_percent", "How full the memory for keys was in the last cleaning.", c.MaxBufferPercent)

	gauge(s, "ringmq_cleaner_running", "Partitions that are being compacted.", c.Running)
	counter(s, "ringmq_cleaner_cleanings_total", "Partitions compacted.", c.Cleanings)
	counter(s, "ringmq_cleaner_read_bytes_total", "Bytes that log compaction read from objects.", c.BytesRead)
	counter(s, "ringmq_cleaner_written_bytes_total", "Bytes that log compaction wrote to objects.", c.BytesWritten)
	counter(s, "ringmq_cleaner_removed_bytes_total", "Bytes of records that log compaction removed.", c.BytesRemoved)
}
