package loadgen

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
)

// Format is a way of printing that scripts for other tools already read.
type Format struct {
	// Line is one reporting interval, Sum the end. Both end with a newline, or are empty.
	Line func(Options, Second) string
	Sum  func(*Report) string
}

// Formats by name. "kafka" prints what kafka-producer-perf-test prints, and then, when there are consumers, what kafka-consumer-perf-test
// does, to the character: latencies are rounded as they round them, whole milliseconds for percentiles. "automq" has the columns of
// automq-perf-test.sh, in milliseconds with microseconds behind the point; the processor and memory of that tool itself are not among them.
var Formats = map[string]Format{
	"kafka":  {kafkaInterval, func(r *Report) string { return kafkaProducer(r) + kafkaConsumer(r) }},
	"automq": {autoMQInterval, autoMQSummary},
}

func kafkaInterval(o Options, s Second) string {
	return fmt.Sprintf("%d records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n",
		int64(s.Produced*s.Length+0.5), s.Produced, mibOf(o, s.Produced), s.ProduceMean/1e3, s.ProduceMax/1e3)
}

// kafkaProducer is ProducerPerformance's last line.
func kafkaProducer(r *Report) string {
	l := r.Produce
	return fmt.Sprintf("%d records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
		l.Count, r.RecordsPerSecond, r.MBPerSecond, l.Mean/1e3, l.Max/1e3, int64(l.P50/1e3), int64(l.P95/1e3), int64(l.P99/1e3), int64(l.P999/1e3))
}

// kafkaConsumer is ConsumerPerformance's header and line. The raw client joins no group, and the other one has joined when it counts: the
// time to rebalance is 0.
func kafkaConsumer(r *Report) string {
	if r.EndToEnd == nil {
		return ""
	}
	const layout = "2006-01-02 15:04:05:000"
	stamp := func(t time.Time) string { // Go has no fraction behind a colon
		return strings.TrimSuffix(t.Format(layout), "000") + fmt.Sprintf("%03d", t.Nanosecond()/1e6)
	}
	begin := r.begin()
	return "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n" +
		fmt.Sprintf("%s, %s, %.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f\n", stamp(begin), stamp(begin.Add(r.length())), r.ConsumedMBPerSec*r.Seconds, r.ConsumedMBPerSec,
			int64(r.ConsumedPerSecond*r.Seconds+0.5), r.ConsumedPerSecond, 0, r.length().Milliseconds(), r.ConsumedMBPerSec, r.ConsumedPerSecond)
}

func autoMQInterval(o Options, s Second) string {
	return fmt.Sprintf("%6.1fs | Prod rate %9.2f msg/s / %6.2f MiB/s | Prod err %6.2f err/s | Cons rate %9.2f msg/s / %6.2f MiB/s | Backlog: %6.2f K msg"+
		" | Prod Latency (ms) avg: %9.3f - 50%%: %9.3f - 99%%: %9.3f - 99.9%%: %9.3f - Max: %9.3f"+
		" | E2E Latency (ms) avg: %9.3f - 50%%: %9.3f - 99%%: %9.3f - 99.9%%: %9.3f - Max: %9.3f\n",
		s.At, s.Produced, mibOf(o, s.Produced), 0.0, s.Consumed, mibOf(o, s.Consumed), float64(s.Lag)/1e3,
		s.ProduceMean/1e3, s.ProduceP50/1e3, s.ProduceP99/1e3, s.ProduceP999/1e3, s.ProduceMax/1e3,
		s.EndToEndMean/1e3, s.EndToEndP50/1e3, s.EndToEndP99/1e3, s.EndToEndP999/1e3, s.EndToEndMax/1e3)
}

func autoMQSummary(r *Report) string {
	var e measure.Latency // of zeros without consumers
	if r.EndToEnd != nil {
		e = *r.EndToEnd
	}
	percentiles := func(l measure.Latency) string {
		return fmt.Sprintf("avg: %9.3f - 50%%: %9.3f - 75%%: %9.3f - 90%%: %9.3f - 95%%: %9.3f - 99%%: %9.3f - 99.9%%: %9.3f - 99.99%%: %9.3f - Max: %9.3f",
			l.Mean/1e3, l.P50/1e3, l.P75/1e3, l.P90/1e3, l.P95/1e3, l.P99/1e3, l.P999/1e3, l.P9999/1e3, l.Max/1e3)
	}
	return fmt.Sprintf("Summary | Prod rate %9.2f msg/s / %6.2f MiB/s | Prod total %6.2f M msg / %6.2f GiB / %6.2f K err | Cons rate %9.2f msg/s / %6.2f MiB/s"+
		" | Cons total %6.2f M msg / %6.2f GiB | Prod Latency (ms) %s | E2E Latency (ms) %s\n",
		r.RecordsPerSecond, r.MBPerSecond, r.RecordsPerSecond*r.Seconds/1e6, r.MBPerSecond*r.Seconds/1024, float64(r.Unacked)/1e3, r.ConsumedPerSecond, r.ConsumedMBPerSec,
		r.ConsumedPerSecond*r.Seconds/1e6, r.ConsumedMBPerSec*r.Seconds/1024, percentiles(r.Produce), percentiles(e))
}

// ownInterval is the line of progress that is printed unless another format is asked for.
func ownInterval(o Options, s Second) string {
	return fmt.Sprintf("%7.1fs | produced %9.0f rec/s %7.2f MB/s | consumed %9.0f rec/s %7.2f MB/s | lag %8d | produce ms 50th %.3f 99th %.3f max %.3f | e2e ms 50th %.3f 99th %.3f max %.3f\n",
		s.At, s.Produced, mibOf(o, s.Produced), s.Consumed, mibOf(o, s.Consumed), s.Lag,
		s.ProduceP50/1e3, s.ProduceP99/1e3, s.ProduceMax/1e3, s.EndToEndP50/1e3, s.EndToEndP99/1e3, s.EndToEndMax/1e3)
}

// PrintAs writes the report in one of Formats; what went wrong is not in them and goes to notes.
func (r *Report) PrintAs(f Format, w, notes io.Writer) {
	fmt.Fprint(w, f.Sum(r))
	r.printWrong(notes)
}

func mibOf(o Options, records float64) float64 { return records * float64(o.RecordBytes) / (1 << 20) }

// begin is when the measured time began, length how long it was.
func (r *Report) begin() time.Time {
	if r.Catchup != nil {
		return r.Start.Add(r.Options.Warmup + r.Options.Backlog)
	}
	return r.Start.Add(r.Options.Warmup)
}

func (r *Report) length() time.Duration { return time.Duration(r.Seconds * float64(time.Second)) }
