package measure

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// TestHistogramAgainstSorting: percentiles agree with those of the sorted values to three digits, merged or not.
func TestHistogramAgainstSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	a, b := NewHistogram(), NewHistogram()
	var all []float64
	for i := range 20_000 {
		// From 1 us to 1 s, evenly on a logarithmic scale.
		d := time.Duration(math.Pow(10, 3+6*random.Float64()))
		all = append(all, float64(d))
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(b)
	slices.Sort(all)
	if a.Count() != int64(len(all)) {
		t.Fatalf("count %d, want %d", a.Count(), len(all))
	}
	for _, p := range []float64{1, 10, 50, 90, 99, 99.9, 99.99, 100} {
		want := all[int(math.Ceil(p/100*float64(len(all))))-1]
		if got := float64(a.At(p)); math.Abs(got-want)/want > 0.002 {
			t.Errorf("p%g: got %v, want %v", p, time.Duration(got), time.Duration(want))
		}
	}
	l := a.Latency()
	if math.Abs(l.P99-float64(a.At(99))/1e3) > 1e-9 || l.Max < l.P9999 || l.P9999 < l.P999 || l.P50 < l.P50/2 {
		t.Errorf("summary %+v", l)
	}
}

func TestHistogramClamps(t *testing.T) {
	h := NewHistogram()
	h.Record(-time.Second)
	h.RecordN(time.Hour, 3)
	if h.Count() != 4 || h.At(1) != 0 {
		t.Errorf("count %d, lowest %v", h.Count(), h.At(1))
	}
	if max := h.At(100); max < highest*999/1000 || max > highest*1001/1000 {
		t.Errorf("highest %v", max)
	}
	if l := NewHistogram().Latency(); l.Count != 0 || len(l.Points) != 0 {
		t.Errorf("empty: %+v", l)
	}
}

// TestPoints: the distribution rises, begins at 0 and ends at 100 %, and is dense where few values are.
func TestPoints(t *testing.T) {
	h := NewHistogram()
	for i := range 10_000 {
		h.Record(time.Duration(i) * time.Microsecond)
	}
	points := h.Latency().Points
	for i := 1; i < len(points); i++ {
		if points[i].Percent < points[i-1].Percent || points[i].Micros < points[i-1].Micros {
			t.Fatalf("point %d: %v after %v", i, points[i], points[i-1])
		}
	}
	if first, last := points[0], points[len(points)-1]; first.Percent != 0 || last.Percent != 100 {
		t.Errorf("from %v to %v", first, last)
	}
	over99 := 0
	for _, p := range points {
		if p.Percent >= 99 {
			over99++
		}
	}
	if over99 < 20 || len(points) > 120 {
		t.Errorf("%d points, %d of them from 99 %% on", len(points), over99)
	}
}

func TestWriteFile(t *testing.T) {
	h := NewHistogram()
	h.RecordN(1500*time.Microsecond, 7)
	start := time.UnixMilli(1_800_000_000_000)
	log, table := filepath.Join(t.TempDir(), "x.hlog"), filepath.Join(t.TempDir(), "x.hgrm")
	for _, name := range []string{log, table} {
		if err := h.WriteFile(name, start, start.Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	back, err := hdrhistogram.NewHistogramLogReader(bytes.NewReader(b)).NextIntervalHistogram()
	if err != nil || back == nil || back.TotalCount() != 7 || back.StartTimeMs() != start.UnixMilli() {
		t.Errorf("log: %v, %v\n%s", back, err, b)
	}
	if b, err = os.ReadFile(table); err != nil || !strings.Contains(string(b), "Percentile") || !strings.Contains(string(b), "1500.") {
		t.Errorf("table: %v\n%s", err, b)
	}
	if err := h.WriteFile(filepath.Join(t.TempDir(), "no", "x.hgrm"), start, start); err == nil {
		t.Error("a file in no directory was written")
	}
}

// TestSchedule: Due is the inverse of At, at every rate and far from the start, and shares make up the whole.
func TestSchedule(t *testing.T) {
	start := time.Now()
	for _, rate := range []float64{0.3, 1, 3, 1000, 5000, 33333.3, 1e6} {
		s := NewSchedule(start, rate)
		for _, i := range []int64{0, 1, 2, 999, 1_000_000, 1_000_000_000} {
			at := s.At(i)
			if got := s.Due(at); got != i+1 {
				t.Errorf("rate %g: Due(At(%d)) = %d", rate, i, got)
			}
			if got := s.Due(at.Add(-1)); got != i {
				t.Errorf("rate %g: just before At(%d) %d are due", rate, i, got)
			}
			if want := float64(i) / rate; math.Abs(at.Sub(start).Seconds()-want) > 1e-6 {
				t.Errorf("rate %g: At(%d) after %v, want %g s", rate, i, at.Sub(start), want)
			}
		}
		const shares = 3
		for i := range int64(30) {
			part := s.Share(int(i%shares), shares).At(i / shares)
			if d := part.Sub(s.At(i)).Abs(); d > 2 {
				t.Errorf("rate %g: share of %d is off by %v", rate, i, d)
			}
		}
	}
	if n := NewSchedule(start, 10).Due(start.Add(-time.Hour)); n != 0 {
		t.Errorf("%d due before the start", n)
	}
}

func TestPacerIsNeverEarly(t *testing.T) {
	p := NewPacer()
	defer p.Close()
	for range 20 {
		due := time.Now().Add(300 * time.Microsecond)
		p.Until(due)
		if now := time.Now(); now.Before(due) {
			t.Fatalf("woke %v early", due.Sub(now))
		}
	}
	p.Until(time.Now().Add(-time.Hour)) // returns at once
}

func TestClock(t *testing.T) {
	c := NewClock()
	now := time.Now()
	if got := c.Time(c.Nanos(now)); got.Sub(now) != 0 {
		t.Errorf("off by %v", got.Sub(now))
	}
	if d := time.Duration(c.Nanos(now) - now.UnixNano()).Abs(); d > time.Second {
		t.Errorf("%v off wall time", d)
	}
	if c.Nanos(now.Add(time.Millisecond))-c.Nanos(now) != int64(time.Millisecond) {
		t.Error("stamps do not subtract exactly")
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Spread
	}{
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{4, 1, 3}, Spread{3, 1, 4, 3}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4, 4}},
		{[]float64{math.NaN(), 5, math.Inf(1)}, Spread{5, 5, 5, 1}},
	} {
		if got := SpreadOf(c.in); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.in, got, c.want)
		}
	}
	if got := SpreadOf(nil); got.N != 0 || !math.IsNaN(got.Median) {
		t.Errorf("nothing: %+v", got)
	}
}

func TestRoomFor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	undo := RoomFor(3)
	if got := runtime.GOMAXPROCS(0); got != before+3 {
		t.Errorf("%d, want %d", got, before+3)
	}
	undo()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d after undoing, want %d", got, before)
	}
}
