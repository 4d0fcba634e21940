package telemetry

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmq/ringmq/wal"
)

func (s sink) wal(st wal.Stats) {
	for _, m := range []wal.Mode{wal.ModeURing, wal.ModePWrite} {
		gauge(s, "ringmq_wal_mode", "1 for the way in which blocks are written; pwrite where the kernel refuses io_uring.", truth(st.Mode == m), "mode", string(m))
	}
	for _, m := range []wal.SyncMethod{wal.SyncDSync, wal.SyncRWF, wal.SyncFdatasync} {
		gauge(s, "ringmq_wal_sync", "1 for how blocks are made durable; because tells whether that was measured on this device, or set.", truth(st.Sync.Method == m),
			"method", string(m), "because", string(st.Sync.Origin))
	}
	for _, state := range []wal.State{wal.StateOpened, wal.StateReady, wal.StateFailed, wal.StateClosed} {
		gauge(s, "ringmq_wal_state", "1 for the state of the log.", truth(st.State == state), "state", string(state))
	}
	gauge(s, "ringmq_wal_registered_buffers", "1 when writes use buffers that are registered with the ring.", truth(st.Registered))
	h := st.Hardware
	gauge(s, "ringmq_wal_disk_info", "The disk under the log, as the kernel describes it.", 1,
		"disk", h.Device, "model", h.Model, "write_cache", h.WriteCache, "fua", strconv.FormatBool(h.FUA), "rotational", strconv.FormatBool(h.Rotational))

	gauge(s, "ringmq_wal_capacity_bytes", "Bytes of the log's ring on the device.", st.Capacity)
	gauge(s, "ringmq_wal_used_bytes", "Bytes of the ring that hold records which are still needed.", st.Used)
	gauge(s, "ringmq_wal_unprepared_bytes", "Bytes of a new log file that are still to be written with zeroes, in the background.", st.Unprepared)
	gauge(s, "ringmq_wal_trim_position", "Position before which records are not needed any more.", st.Trim)
	gauge(s, "ringmq_wal_next_position", "Position of the next block.", st.Next)
	gauge(s, "ringmq_wal_durable_position", "Position before which everything is on stable storage.", st.Durable)
	gauge(s, "ringmq_wal_memory_bytes", "Memory of the log: records being written and records that are cached.", st.MemoryUsed)
	gauge(s, "ringmq_wal_memory_budget_bytes", "Most memory that the log may use.", st.MemoryBudget)
	gauge(s, "ringmq_wal_in_flight_writes", "Block writes that the device has not completed.", st.InFlight)

	counter(s, "ringmq_wal_appends_total", "Records appended.", st.Appends)
	counter(s, "ringmq_wal_writes_total", "Blocks written.", st.Writes)
	counter(s, "ringmq_wal_written_bytes_total", "Bytes of the blocks written, headers and padding included.", st.Bytes)
	counter(s, "ringmq_wal_flushes_total", "Flushes of the device's cache (fdatasync) that were asked for; 0 with the other ways.", st.Flushes)
	counter(s, "ringmq_wal_superblock_writes_total", "Superblocks written.", st.Superblocks)
	counter(s, "ringmq_wal_wakeups_total", "Appends that had to wake the log's thread with a system call.", st.Wakeups)
}

func (s sink) walLatencies(l wal.Latencies) {
	latency(s, "ringmq_wal_write_seconds", "Time of a block's write, as the log's thread sees it; with fdatasync without the flush.", l.Write)
	latency(s, "ringmq_wal_acknowledge_seconds", "Time from a block's first record until it was durable and told; it is what a producer waits for in the log.", l.Ack)
}

// latency is a histogram in seconds.
func latency(s sink, name, help string, l wal.Latency) {
	buckets, count := make(map[float64]uint64, wal.LatencyBuckets-1), uint64(0)
	for i, n := range l.Buckets {
		if count += n; i < wal.LatencyBuckets-1 {
			buckets[wal.LatencyBound(i).Seconds()] = count
		}
	}
	s.ch <- prometheus.MustNewConstHistogram(prometheus.NewDesc(name, help, nil, nil), count, l.Sum.Seconds(), buckets)
}
