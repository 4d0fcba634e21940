package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// highest is the largest latency that is told apart; what takes longer counts as this.
const highest = 10 * time.Minute

// Histogram counts latencies.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram returns an empty histogram. It takes about 260 KB.
func NewHistogram() *Histogram {
	return &Histogram{hdrhistogram.New(1, int64(highest), 3)}
}

// Record counts one latency. A negative one counts as zero, one above ten minutes as ten minutes.
func (h *Histogram) Record(d time.Duration) { h.RecordN(d, 1) }

// RecordN counts a latency n times.
func (h *Histogram) RecordN(d time.Duration, n int64) {
	if err := h.h.RecordValues(int64(min(max(d, 0), highest)), n); err != nil {
		panic("BUG: measure: " + err.Error()) // the value was clamped to the range
	}
}

// Merge adds the counts of another histogram.
func (h *Histogram) Merge(from *Histogram) { h.h.Merge(from.h) }

// Count is the number of latencies.
func (h *Histogram) Count() int64 { return h.h.TotalCount() }

// Reset forgets everything.
func (h *Histogram) Reset() { h.h.Reset() }

// At is the latency that the given percentage (0 to 100) of all do not exceed.
func (h *Histogram) At(percent float64) time.Duration {
	return time.Duration(h.h.ValueAtPercentile(percent))
}

// Point is one point of a distribution.
type Point struct {
	Percent float64 `json:"percent"`
	Micros  float64 `json:"us"`
}

// Latency is a histogram in numbers, for JSON and tables. All latencies are microseconds.
type Latency struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P75   float64 `json:"p75_us"`
	P90   float64 `json:"p90_us"`
	P95   float64 `json:"p95_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	P9999 float64 `json:"p9999_us"`
	Max   float64 `json:"max_us"`
	// Points is the whole distribution, dense towards 100 %.
	Points []Point `json:"points,omitempty"`
}

func micros(ns int64) float64 { return float64(ns) / 1e3 }

// Latency sums the histogram up.
func (h *Histogram) Latency() Latency {
	at := func(p float64) float64 { return micros(h.h.ValueAtPercentile(p)) }
	l := Latency{Count: h.Count(), Mean: h.h.Mean() / 1e3, P50: at(50), P75: at(75), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9),
		P9999: at(99.99), Max: micros(h.h.Max())}
	if l.Count > 0 {
		for _, p := range percents(l.Count) {
			l.Points = append(l.Points, Point{p, at(p)})
		}
	}
	return l
}

// percents are the points of a distribution of n values: five in each halving of what remains to 100 %, until less than one value remains.
func percents(n int64) []float64 {
	var out []float64
	for rest := 100.0; rest/100*float64(n) >= 1 && len(out) < 200; rest /= 2 {
		for i := range 5 {
			out = append(out, 100-rest*(1-float64(i)/10))
		}
	}
	return append(out, 100)
}

// WriteFile writes the distribution in HdrHistogram's formats: name.hlog is a log that its tools read and merge (values in nanoseconds),
// anything else the text table of percentiles that its plotters read (values in microseconds).
func (h *Histogram) WriteFile(name string, start, end time.Time) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("measure: %w", cerr)
		}
	}()
	w := bufio.NewWriter(f)
	if filepath.Ext(name) == ".hlog" {
		err = h.writeLog(w, start, end)
	} else {
		_, err = h.h.PercentilesPrint(w, 5, 1000)
	}
	if err != nil {
		return fmt.Errorf("measure: write %s: %w", name, err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("measure: write %s: %w", name, err)
	}
	return nil
}

func (h *Histogram) writeLog(w io.Writer, start, end time.Time) error {
	lw := hdrhistogram.NewHistogramLogWriter(w)
	for _, step := range []func() error{
		lw.OutputLogFormatVersion,
		func() error { return lw.OutputStartTime(start.UnixMilli()) },
		lw.OutputLegend,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	h.h.SetStartTimeMs(start.UnixMilli())
	h.h.SetEndTimeMs(end.UnixMilli())
	return lw.OutputIntervalHistogram(h.h)
}
