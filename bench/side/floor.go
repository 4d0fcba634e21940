package side

import (
	"context"
	"fmt"
	"strings"

	"github.com/ringmq/ringmq/bench/measure"
)

// floorPoint is one way of writing the device, and what it is the floor of.
type floorPoint struct {
	bytes, depth int
	prefix       string // of its values
	title        string
}

// floorPoints are what the write-ahead log does to its device under the loads of the other cases, and last what the device can do at best: the
// log writes whole pages of 4 KiB, gathers up to 256 KiB in a block, and has two blocks in flight.
var floorPoints = []floorPoint{
	{4 << 10, 1, "4k1_", "single records"},
	{16 << 10, 2, "16k2_", "groups of small records"},
	{64 << 10, 2, "64k2_", "load at a rate"},
	{256 << 10, 2, "256k2_", "full blocks of the log"},
	{64 << 10, 8, "64k8_", "more in flight than the log has"},
}

// floorResult is what bench/floor prints.
type floorResult struct {
	Bytes       int             `json:"bytes"`
	Depth       int             `json:"depth"`
	MBPerSecond float64         `json:"mb_per_second"`
	Latency     measure.Latency `json:"latency"`
}

// floorCase writes the device itself, beside the idle server and right before the probes.
func floorCase(ctx context.Context, s *session, rec *Record) error {
	var points []string
	for _, p := range floorPoints {
		points = append(points, fmt.Sprintf("%dx%d", p.bytes, p.depth))
	}
	return s.measured(ctx, rec, func() error {
		var r []floorResult
		if err := s.program(ctx, &r, "floor", "-json", "-dir", s.dir, "-file-mb", "64", "-points", strings.Join(points, ","), "-warmup", "200ms",
			"-duration", s.o.Profile.FloorFor.String()); err != nil {
			return err
		}
		if len(r) != len(floorPoints) {
			return fmt.Errorf("floor: %d results for %d points", len(r), len(floorPoints))
		}
		for i, p := range floorPoints {
			rec.latency("floor "+p.prefix, p.prefix, r[i].Latency)
			rec.set(p.prefix+"mb_s", r[i].MBPerSecond)
		}
		return nil
	})
}

// writeFloor is the table of the device itself, over all targets and rounds.
func (r *Result) writeFloor(b *strings.Builder) {
	value := func(key string) string {
		var all []float64
		for _, t := range r.Targets {
			all = append(all, r.Values(t, "floor", key)...)
		}
		return spread(measure.SpreadOf(all))
	}
	if value(floorPoints[0].prefix+"p50_us") == "" {
		return
	}
	b.WriteString("\n## The device itself\n\nO_DIRECT|O_DSYNC writes into a file beside the server's data, with nothing in between.\n\n" +
		"| bytes | in flight | what the log writes so | p50, us | p99, us | p99.9, us | MB/s |\n|---:|---:|---|---:|---:|---:|---:|\n")
	for _, p := range floorPoints {
		fmt.Fprintf(b, "| %d | %d | %s | %s | %s | %s | %s |\n", p.bytes, p.depth, p.title, value(p.prefix+"p50_us"), value(p.prefix+"p99_us"), value(p.prefix+"p999_us"), value(p.prefix+"mb_s"))
	}
}
