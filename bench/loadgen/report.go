package loadgen

import (
	"fmt"
	"io"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
)

// Report is the outcome of a run. MB are MiB, as Kafka's tools have it, and count values only.
type Report struct {
	Options Options   `json:"options"`
	Start   time.Time `json:"start"`
	// Seconds is the measured time. Rates count what was acknowledged, or consumed, within it.
	Seconds           float64 `json:"seconds"`
	RecordsPerSecond  float64 `json:"records_per_second"`
	MBPerSecond       float64 `json:"mb_per_second"`
	ConsumedPerSecond float64 `json:"consumed_records_per_second"`
	ConsumedMBPerSec  float64 `json:"consumed_mb_per_second"`
	Acked             int64   `json:"acked"`    // records, warm-up included
	Consumed          int64   `json:"consumed"` // records over all groups, warm-up included
	Missing           int64   `json:"missing"`  // acknowledged records that consumers did not get
	Unacked           int64   `json:"unacked"`  // records given up; the latencies hold them with what they had reached
	Duplicates        int64   `json:"duplicates"`
	Gaps              int64   `json:"gaps"`    // places where a later record came before an earlier one of its producer and partition
	Foreign           int64   `json:"foreign"` // records that this run did not write
	// Produce is the time from when a record was due to its acknowledgement. EndToEnd is that to its arrival at a consumer. Late is how long
	// after a record was due its batch was built; it is contained in both, and what exceeds linger is the generator's own or a full window.
	Produce  measure.Latency  `json:"produce"`
	EndToEnd *measure.Latency `json:"end_to_end,omitempty"`
	Late     *measure.Latency `json:"late,omitempty"`
	Catchup  *Catchup         `json:"catchup,omitempty"`
	Series   []Second         `json:"series"`

	produce, endToEnd *measure.Histogram
}

// Catchup is how consumers caught up with a backlog. The report's latencies are those of the time in which they did.
type Catchup struct {
	BacklogRecords      int64           `json:"backlog_records"` // deliveries, over all groups
	BacklogMB           float64         `json:"backlog_mb"`
	Seconds             float64         `json:"seconds"`
	CaughtUp            bool            `json:"caught_up"`
	ConsumedRecords     int64           `json:"consumed_records"`
	ConsumedMBPerSecond float64         `json:"consumed_mb_per_second"`
	Before              measure.Latency `json:"produce_before"` // produce latency while the backlog grew
}

// Second is one reporting interval.
type Second struct {
	At           float64 `json:"at_seconds"` // its end, since the first record was due
	Length       float64 `json:"seconds"`
	Produced     float64 `json:"produced_per_second"`
	Consumed     float64 `json:"consumed_per_second"`
	Lag          int64   `json:"lag"`
	ProduceMean  float64 `json:"produce_mean_us"`
	ProduceP50   float64 `json:"produce_p50_us"`
	ProduceP99   float64 `json:"produce_p99_us"`
	ProduceP999  float64 `json:"produce_p999_us"`
	ProduceMax   float64 `json:"produce_max_us"`
	EndToEndMean float64 `json:"end_to_end_mean_us"`
	EndToEndP50  float64 `json:"end_to_end_p50_us"`
	EndToEndP99  float64 `json:"end_to_end_p99_us"`
	EndToEndP999 float64 `json:"end_to_end_p999_us"`
	EndToEndMax  float64 `json:"end_to_end_max_us"`
}

type series struct{ points []Second }

// sum puts the run's numbers together. Nothing runs any more.
func (r *run) sum(catchup *Catchup) *Report {
	window := r.end.Sub(r.begin)
	if catchup != nil {
		window = time.Duration(catchup.Seconds * float64(time.Second))
	}
	rep := &Report{Options: r.o, Start: r.start, Seconds: window.Seconds(), Catchup: catchup, Acked: r.acked(), Consumed: r.consumed()}
	rep.produce, rep.endToEnd = measure.NewHistogram(), measure.NewHistogram()
	late := measure.NewHistogram()
	var acked, consumed int64
	for _, p := range r.producers {
		rep.produce.Merge(p.acked.total)
		rep.produce.Merge(p.unacked.total)
		for range max(r.o.Groups, 0) { // nor do consumers have them
			rep.endToEnd.Merge(p.unacked.total)
		}
		rep.Unacked += p.unacked.all
		late.Merge(p.late.total)
		acked += p.acked.inWindow
	}
	for _, c := range r.consumers {
		rep.endToEnd.Merge(c.seen.total)
		consumed += c.seen.inWindow
	}
	rep.Produce = rep.produce.Latency()
	if r.o.Rate > 0 {
		l := late.Latency()
		l.Points = nil
		rep.Late = &l
	}
	if r.o.Groups > 0 {
		l := rep.endToEnd.Latency()
		rep.EndToEnd = &l
		rep.Missing = max(0, rep.Acked*int64(r.o.Groups)-rep.Consumed)
	}
	for _, g := range r.groups {
		rep.Duplicates += g.duplicates
		rep.Gaps += g.gaps
		rep.Foreign += g.foreign
	}
	s := window.Seconds()
	rep.RecordsPerSecond, rep.MBPerSecond = float64(acked)/s, r.mib(acked)/s
	rep.ConsumedPerSecond, rep.ConsumedMBPerSec = float64(consumed)/s, r.mib(consumed)/s
	return rep
}

// report notes, and prints if asked to, what happens in every interval until stop is closed.
func (r *run) report(stop <-chan struct{}) {
	tick := time.NewTicker(r.o.Interval)
	defer tick.Stop()
	produced, consumed := measure.NewHistogram(), measure.NewHistogram()
	last := time.Now()
	for {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		produced.Reset()
		consumed.Reset()
		var acks, deliveries int64
		for _, p := range r.producers {
			acks += p.acked.look(produced)
		}
		for _, c := range r.consumers {
			deliveries += c.seen.look(consumed)
		}
		now := time.Now()
		s := now.Sub(last).Seconds()
		last = now
		p, e := produced.Latency(), consumed.Latency()
		point := Second{At: now.Sub(r.start).Seconds(), Length: s, Produced: float64(acks) / s, Consumed: float64(deliveries) / s, Lag: max(0, r.lag()),
			ProduceMean: p.Mean, ProduceP50: p.P50, ProduceP99: p.P99, ProduceP999: p.P999, ProduceMax: p.Max,
			EndToEndMean: e.Mean, EndToEndP50: e.P50, EndToEndP99: e.P99, EndToEndP999: e.P999, EndToEndMax: e.Max}
		r.series.points = append(r.series.points, point)
		if r.o.Progress != nil {
			fmt.Fprint(r.o.Progress, r.o.ProgressLine(r.o, point))
		}
	}
}

// PerfLine is a latency in the line that Kafka's kafka-producer-perf-test ends with, but that all milliseconds have decimals; Formats has the
// line as it is.
func PerfLine(l measure.Latency, recordsPerSecond, mbPerSecond float64) string {
	return fmt.Sprintf("%d records sent, %f records/sec (%.2f MB/sec), %.3f ms avg latency, %.3f ms max latency, %.3f ms 50th, %.3f ms 95th, %.3f ms 99th, %.3f ms 99.9th.",
		l.Count, recordsPerSecond, mbPerSecond, l.Mean/1e3, l.Max/1e3, l.P50/1e3, l.P95/1e3, l.P99/1e3, l.P999/1e3)
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintln(w, PerfLine(r.Produce, r.RecordsPerSecond, r.MBPerSecond))
	if e := r.EndToEnd; e != nil {
		fmt.Fprintf(w, "end to end: %d records, %f records/sec (%.2f MB/sec), %.3f ms avg, %.3f ms 50th, %.3f ms 75th, %.3f ms 90th, %.3f ms 95th, %.3f ms 99th, %.3f ms 99.9th, %.3f ms 99.99th, %.3f ms max\n",
			e.Count, r.ConsumedPerSecond, r.ConsumedMBPerSec, e.Mean/1e3, e.P50/1e3, e.P75/1e3, e.P90/1e3, e.P95/1e3, e.P99/1e3, e.P999/1e3, e.P9999/1e3, e.Max/1e3)
	}
	if l := r.Late; l != nil {
		fmt.Fprintf(w, "batches were built after their last record was due: %.3f ms 50th, %.3f ms 99th, %.3f ms 99.9th\n", l.P50/1e3, l.P99/1e3, l.P999/1e3)
	}
	if c := r.Catchup; c != nil {
		outcome := "caught up after"
		if !c.CaughtUp {
			outcome = "did NOT catch up in"
		}
		fmt.Fprintf(w, "catch-up: backlog of %d records (%.1f MB) %s %.2f s at %.2f MB/s; produce 99th %.3f ms before, %.3f ms meanwhile\n",
			c.BacklogRecords, c.BacklogMB, outcome, c.Seconds, c.ConsumedMBPerSecond, c.Before.P99/1e3, r.Produce.P99/1e3)
	}
	r.printWrong(w)
}

// printWrong says what should not have happened.
func (r *Report) printWrong(w io.Writer) {
	if r.Unacked > 0 {
		fmt.Fprintf(w, "COLLAPSED: %d records were not acknowledged %s after the end; they count with the latency that they had reached\n", r.Unacked, r.Options.Drain)
	}
	if r.Missing+r.Duplicates+r.Gaps > 0 {
		fmt.Fprintf(w, "WRONG: %d acknowledged records missing, %d duplicates, %d gaps\n", r.Missing, r.Duplicates, r.Gaps)
	}
}

// WriteHistograms writes the distributions of produce and end-to-end latency as NAME-produce.EXT and NAME-e2e.EXT; see
// measure.Histogram.WriteFile for the formats.
func (r *Report) WriteHistograms(name, ext string) error {
	end := r.Start.Add(r.Options.Warmup + time.Duration(r.Seconds*float64(time.Second)))
	if err := r.produce.WriteFile(name+"-produce."+ext, r.Start, end); err != nil {
		return err
	}
	if r.EndToEnd == nil {
		return nil
	}
	return r.endToEnd.WriteFile(name+"-e2e."+ext, r.Start, end)
}
