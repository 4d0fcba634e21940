package side

import "strings"

// Metric is a row of the table.
type Metric struct {
	Case, Key string
	Title     string
	Unit      string
	// Better is "lower" or "higher".
	Better string
	// Floor is the key of what the device does itself in the floor case, in the same unit; empty when there is none.
	Floor string
}

// Metrics are the rows, in order. A case of a sweep is told by its prefix.
var Metrics = []Metric{
	{"probe-1", "p50_us", "1 KB, one in flight: p50", "us", "lower", "4k1_p50_us"},
	{"probe-1", "p99_us", "1 KB, one in flight: p99", "us", "lower", "4k1_p99_us"},
	{"probe-1", "p999_us", "1 KB, one in flight: p99.9", "us", "lower", "4k1_p999_us"},
	{"probe-1", "cpu_us_per_request", "1 KB, one in flight: server CPU per request", "us", "lower", ""},
	{"probe-1000", "p50_us", "1 KB, open loop 1,000/s over 4 connections: p50", "us", "lower", "4k1_p50_us"},
	{"probe-1000", "p99_us", "1 KB, open loop 1,000/s over 4 connections: p99", "us", "lower", "4k1_p99_us"},
	{"probe-1000", "p999_us", "1 KB, open loop 1,000/s over 4 connections: p99.9", "us", "lower", "4k1_p999_us"},
	{"probe-1000", "late_p99_us", "of that, sent late by the probe itself: p99", "us", "lower", ""},
	{"probe-5000", "p50_us", "1 KB, open loop 5,000/s over 4 connections: p50", "us", "lower", "4k1_p50_us"},
	{"probe-5000", "p99_us", "1 KB, open loop 5,000/s over 4 connections: p99", "us", "lower", "4k1_p99_us"},
	{"probe-5000", "p999_us", "1 KB, open loop 5,000/s over 4 connections: p99.9", "us", "lower", "4k1_p999_us"},
	{"probe-5000", "late_p99_us", "of that, sent late by the probe itself: p99", "us", "lower", ""},
	{"probe-5000", "unanswered", "requests unanswered ten seconds after the end", "", "lower", ""},
	{"probe-64", "per_second", "100 B, 64 connections, 16 partitions: acknowledgements a second", "1/s", "higher", ""},
	{"probe-64", "p50_us", "100 B, 64 connections, 16 partitions: p50", "us", "lower", "16k2_p50_us"},
	{"probe-64", "p99_us", "100 B, 64 connections, 16 partitions: p99", "us", "lower", "16k2_p99_us"},
	{"probe-64", "cpu_us_per_request", "100 B, 64 connections, 16 partitions: server CPU per request", "us", "lower", ""},
	{"java-5000", "p50_ms", "Java producer, 5,000 rec/s of 1 KB: p50", "ms", "lower", ""},
	{"java-5000", "p99_ms", "Java producer, 5,000 rec/s of 1 KB: p99 (its start included)", "ms", "lower", ""},
	{"java-5000", "p999_ms", "Java producer, 5,000 rec/s of 1 KB: p99.9 (its start included)", "ms", "lower", ""},
	{"java-e2e", "avg_ms", "Java end-to-end, one 1 KB record at a time: mean", "ms", "lower", ""},
	{"java-e2e", "p50_ms", "Java end-to-end, one 1 KB record at a time: p50, whole ms", "ms", "lower", ""},
	{"java-e2e", "p99_ms", "Java end-to-end, one 1 KB record at a time: p99, whole ms", "ms", "lower", ""},
	{"java-e2e", "p999_ms", "Java end-to-end, one 1 KB record at a time: p99.9, whole ms", "ms", "lower", ""},
	{"load", "mb_s", "load at a rate, 4 partitions, 2 producers, 2 consumers: acknowledged", "MB/s", "higher", ""},
	{"load", "produce_p50_us", "load at a rate: produce p50", "us", "lower", "64k2_p50_us"},
	{"load", "produce_p99_us", "load at a rate: produce p99", "us", "lower", "64k2_p99_us"},
	{"load", "e2e_p50_us", "load at a rate: produce to consume p50", "us", "lower", ""},
	{"load", "e2e_p99_us", "load at a rate: produce to consume p99", "us", "lower", ""},
	{"load", "e2e_p999_us", "load at a rate: produce to consume p99.9", "us", "lower", ""},
	{"load", "e2e_p9999_us", "load at a rate: produce to consume p99.99", "us", "lower", ""},
	{"load", "unacked", "load at a rate: records not acknowledged ten seconds after the end", "", "lower", ""},
	{"load", "cpu_s_per_gb", "load at a rate: server CPU per GB in and out", "s", "lower", ""},
	{"sweep-", "mb_s", "load at %s MB/s: acknowledged", "MB/s", "higher", ""},
	{"sweep-", "unacked", "load at %s MB/s: records not acknowledged ten seconds after the end", "", "lower", ""},
	{"sweep-", "produce_p99_us", "load at %s MB/s: produce p99", "us", "lower", ""},
	{"sweep-", "e2e_p99_us", "load at %s MB/s: produce to consume p99", "us", "lower", ""},
	{"java-max", "mb_s", "Java producer, unlimited, default settings", "MB/s", "higher", "256k2_mb_s"},
	{"java-max", "alone_mb_s", "Java producer, default settings, against a broker that does nothing", "MB/s", "higher", ""},
	{"java-max", "of_alone", "Java producer, default settings: share of what it reaches against a broker that does nothing", "", "higher", ""},
	{"java-max", "cpu_s_per_gb", "Java producer, default settings: server CPU per GB", "s", "lower", ""},
	{"java-max", "settled_cpu_s_per_gb", "Java producer, default settings: server CPU per GB until quiet", "s", "lower", ""},
	{"java-max", "minio_cpu_s_per_gb", "Java producer, default settings: CPU of MinIO per GB until quiet, not in the above", "s", "lower", ""},
	{"java-max", "machine_cpu_s_per_gb", "Java producer, default settings: CPU of the whole machine per GB, client and kernel too", "s", "lower", ""},
	{"java-max", "settled_written_per_byte", "Java producer, default settings: bytes written per byte until quiet", "", "lower", ""},
	{batchCase, "mb_s", "Java producer, unlimited, batch 128 KiB, linger 5 ms", "MB/s", "higher", "256k2_mb_s"},
	{batchCase, "alone_mb_s", "Java producer, batch 128 KiB, against a broker that does nothing", "MB/s", "higher", ""},
	{batchCase, "of_alone", "Java producer, batch 128 KiB: share of what it reaches against a broker that does nothing", "", "higher", ""},
	{batchCase, "cpu_s_per_gb", "Java producer, batch 128 KiB: server CPU per GB", "s", "lower", ""},
	{batchCase, "settled_cpu_s_per_gb", "Java producer, batch 128 KiB: server CPU per GB until quiet", "s", "lower", ""},
	{batchCase, "minio_cpu_s_per_gb", "Java producer, batch 128 KiB: CPU of MinIO per GB until quiet, not in the above", "s", "lower", ""},
	{batchCase, "machine_cpu_s_per_gb", "Java producer, batch 128 KiB: CPU of the whole machine per GB, client and kernel too", "s", "lower", ""},
	{batchCase, "settled_written_per_byte", "Java producer, batch 128 KiB: bytes written per byte until quiet", "", "lower", ""},
	{"java-consume", "mb_s", "Java consumer, just written", "MB/s", "higher", ""},
	{"java-consume", "cpu_s_per_gb", "Java consumer, just written: server CPU per GB", "s", "lower", ""},
	{"java-consume-cold", "mb_s", "Java consumer, after a restart with cold caches", "MB/s", "higher", ""},
	{"java-consume-cold", "cpu_s_per_gb", "Java consumer, cold: server CPU per GB", "s", "lower", ""},
	{"start", "first_ack_ms", "process start to first acknowledgement, new data", "ms", "lower", ""},
	{"java-consume-cold", "restart_first_ack_ms", "process start to first acknowledgement, after a clean stop", "ms", "lower", ""},
	{"life", "stop_ms", "clean stop", "ms", "lower", ""},
	{"idle", "rss_mb", "resident memory, idle", "MB", "lower", ""},
	{"idle", "cpu_percent", "processor, idle", "% of one", "lower", ""},
	{"loaded", "rss_mb", "resident memory, after all this", "MB", "lower", ""},
	{"loaded", "peak_mb", "resident memory, highest", "MB", "lower", ""},
	{"minio-load", "mb_s", "MinIO, uploads and compaction running, 100 partitions, 2 producers, 2 consumers: acknowledged", "MB/s", "higher", ""},
	{"minio-load", "produce_p50_us", "MinIO, everything running: produce p50", "us", "lower", "64k2_p50_us"},
	{"minio-load", "produce_p99_us", "MinIO, everything running: produce p99", "us", "lower", "64k2_p99_us"},
	{"minio-load", "e2e_p50_us", "MinIO, everything running: produce to consume p50", "us", "lower", ""},
	{"minio-load", "e2e_p99_us", "MinIO, everything running: produce to consume p99", "us", "lower", ""},
	{"minio-load", "e2e_p999_us", "MinIO, everything running: produce to consume p99.9", "us", "lower", ""},
	{"minio-load", "e2e_p9999_us", "MinIO, everything running: produce to consume p99.99", "us", "lower", ""},
	{"minio-load", "e2e_max_us", "MinIO, everything running: produce to consume, longest", "us", "lower", ""},
	{"minio-load", "unacked", "MinIO, everything running: records not acknowledged ten seconds after the end", "", "lower", ""},
	{"minio-load", "cpu_s_per_gb", "MinIO, everything running: server CPU per GB in and out", "s", "lower", ""},
	{"minio-load", "peak_mb", "MinIO, everything running: resident memory, highest", "MB", "lower", ""},
	{"minio-load", "gc_p50_us", "MinIO, everything running: pauses of the garbage collector, p50", "us", "lower", ""},
	{"minio-load", "gc_p9999_us", "MinIO, everything running: pauses of the garbage collector, p99.99 (the longest of fewer than 10,000)", "us", "lower", ""},
	{"minio-load", "gc_cycles", "MinIO, everything running: cycles of the garbage collector", "", "lower", ""},
	{"minio-load", "gc_cpu_percent", "MinIO, everything running: processor time of the garbage collector", "%", "lower", ""},
	{"minio-load", "uploads", "MinIO, everything running: uploads", "", "higher", ""},
	{"minio-load", "compactions", "MinIO, everything running: compactions of stream-set objects", "", "higher", ""},
	{"minio-load", "compactions_objects", "MinIO, everything running: objects that they replaced", "", "higher", ""},
	{"partitions", "create_s", "10 partitions in each of many topics: time to make all of them", "s", "lower", ""},
	{"partitions", "rss_mb", "many partitions: resident memory", "MB", "lower", ""},
	{"partitions", "rss_kb_per_partition", "many partitions: resident memory of each", "KB", "lower", ""},
	{"partitions", "few_one_p50_us", "one in flight, spread over 100 partitions: p50", "us", "lower", "4k1_p50_us"},
	{"partitions", "many_one_p50_us", "one in flight, spread over many partitions: p50", "us", "lower", "4k1_p50_us"},
	{"partitions", "ratio_one_p50_us", "one in flight, many partitions / 100: p50", "", "lower", ""},
	{"partitions", "few_one_p99_us", "one in flight, spread over 100 partitions: p99", "us", "lower", "4k1_p99_us"},
	{"partitions", "many_one_p99_us", "one in flight, spread over many partitions: p99", "us", "lower", "4k1_p99_us"},
	{"partitions", "ratio_one_p99_us", "one in flight, many partitions / 100: p99", "", "lower", ""},
	{"partitions", "few_rate_p50_us", "open loop 1,000/s, spread over 100 partitions: p50", "us", "lower", "4k1_p50_us"},
	{"partitions", "many_rate_p50_us", "open loop 1,000/s, spread over many partitions: p50", "us", "lower", "4k1_p50_us"},
	{"partitions", "ratio_rate_p50_us", "open loop 1,000/s, many partitions / 100: p50", "", "lower", ""},
	{"partitions", "few_rate_p99_us", "open loop 1,000/s, spread over 100 partitions: p99", "us", "lower", "4k1_p99_us"},
	{"partitions", "many_rate_p99_us", "open loop 1,000/s, spread over many partitions: p99", "us", "lower", "4k1_p99_us"},
	{"partitions", "ratio_rate_p99_us", "open loop 1,000/s, many partitions / 100: p99", "", "lower", ""},
	{"fairness", "alone_p50_us", "1,000 requests/s, nobody else: p50", "us", "lower", "4k1_p50_us"},
	{"fairness", "alone_p99_us", "1,000 requests/s, nobody else: p99", "us", "lower", "4k1_p99_us"},
	{"fairness", "tiny_p50_us", "1,000 requests/s beside a pipeline of tiny requests: p50", "us", "lower", ""},
	{"fairness", "tiny_p99_us", "1,000 requests/s beside a pipeline of tiny requests: p99", "us", "lower", ""},
	{"fairness", "ratio_tiny_p50_us", "beside tiny requests / alone: p50", "", "lower", ""},
	{"fairness", "ratio_tiny_p99_us", "beside tiny requests / alone: p99", "", "lower", ""},
	{"fairness", "tiny_per_second", "tiny requests answered meanwhile", "1/s", "higher", ""},
	{"fairness", "frames_p50_us", "1,000 requests/s beside frames of 98 MB: p50", "us", "lower", ""},
	{"fairness", "frames_p99_us", "1,000 requests/s beside frames of 98 MB: p99", "us", "lower", ""},
	{"fairness", "ratio_frames_p50_us", "beside frames of 98 MB / alone: p50", "", "lower", ""},
	{"fairness", "ratio_frames_p99_us", "beside frames of 98 MB / alone: p99", "", "lower", ""},
	{"fairness", "frames_unanswered", "of these unanswered ten seconds after the end", "", "lower", ""},
	{"fairness", "frames_mb_s", "frames acknowledged meanwhile", "MB/s", "higher", ""},
	{"fairness", "stalled_growth_mb", "16 consumers that stop reading 4 fetches of 100 MB each: memory on top", "MB", "lower", ""},
	{"fairness", "stalled_rss_mb", "the same: resident memory, highest", "MB", "lower", ""},
	{"secure-acl", "p50_us", "authorizer with 201 entries, open loop 1,000/s: p50", "us", "lower", "4k1_p50_us"},
	{"secure-acl", "p99_us", "authorizer with 201 entries, open loop 1,000/s: p99", "us", "lower", "4k1_p99_us"},
	{"secure-acl", "cpu_us_per_request", "authorizer with 201 entries: server CPU per request", "us", "lower", ""},
	{"secure-quota", "p50_us", "quotas that nobody reaches, open loop 1,000/s: p50", "us", "lower", "4k1_p50_us"},
	{"secure-quota", "p99_us", "quotas that nobody reaches, open loop 1,000/s: p99", "us", "lower", "4k1_p99_us"},
	{"secure-quota", "cpu_us_per_request", "quotas that nobody reaches: server CPU per request", "us", "lower", ""},
	{"secure-tls", "p50_us", "TLS, open loop 1,000/s: p50", "us", "lower", "4k1_p50_us"},
	{"secure-tls", "p99_us", "TLS, open loop 1,000/s: p99", "us", "lower", "4k1_p99_us"},
	{"secure-tls", "cpu_us_per_request", "TLS: server CPU per request", "us", "lower", ""},
	{"txn-5000", "p50_ms", "Java producer, transactions of 100 ms, 5,000 rec/s of 1 KB: p50", "ms", "lower", ""},
	{"txn-5000", "p99_ms", "Java producer, transactions of 100 ms, 5,000 rec/s of 1 KB: p99 (its start included)", "ms", "lower", ""},
	{"txn-5000", "cpu_s_per_gb", "Java producer, transactions of 100 ms: server CPU per GB", "s", "lower", ""},
	{"cleaning", "alone_p50_us", "1,000 requests/s beside 4 MB/s of keys: p50", "us", "lower", ""},
	{"cleaning", "alone_p99_us", "1,000 requests/s beside 4 MB/s of keys: p99", "us", "lower", ""},
	{"cleaning", "cleaning_p50_us", "1,000 requests/s beside 4 MB/s of keys that are compacted all the time: p50", "us", "lower", ""},
	{"cleaning", "cleaning_p99_us", "1,000 requests/s beside 4 MB/s of keys that are compacted all the time: p99", "us", "lower", ""},
	{"cleaning", "ratio_cleaning_p99_us", "compacted / not compacted: p99", "", "lower", ""},
}

// rows expands the metrics of sweeps into one per case that was run.
func (r *Result) rows() []Metric {
	var out []Metric
	for i := 0; i < len(Metrics); i++ {
		m := Metrics[i]
		if !strings.HasSuffix(m.Case, "-") {
			out = append(out, m)
			continue
		}
		group := []Metric{m}
		for ; i+1 < len(Metrics) && Metrics[i+1].Case == m.Case; i++ {
			group = append(group, Metrics[i+1])
		}
		for _, c := range r.casesWith(m.Case) {
			for _, g := range group {
				g.Title = strings.Replace(g.Title, "%s", strings.TrimPrefix(c, g.Case), 1)
				g.Case = c
				out = append(out, g)
			}
		}
	}
	return out
}

// casesWith are the names of cases with a prefix, in the order in which they were first run.
func (r *Result) casesWith(prefix string) []string {
	var out []string
	seen := map[string]bool{}
	for _, rec := range r.Records {
		if strings.HasPrefix(rec.Case, prefix) && !seen[rec.Case] {
			seen[rec.Case] = true
			out = append(out, rec.Case)
		}
	}
	return out
}

// floorOf is the Floor of a metric.
func floorOf(name, key string) string {
	for _, m := range Metrics {
		if m.Case == name && m.Key == key {
			return m.Floor
		}
	}
	return ""
}
