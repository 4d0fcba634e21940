package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/side"
)

func TestAxis(t *testing.T) {
	lin := axis{lo: 0, hi: 10, from: 100, to: 200}
	log := axis{lo: 1, hi: 1000, from: 300, to: 0, log: true}
	for _, c := range []struct {
		a       axis
		v, want float64
	}{{lin, 0, 100}, {lin, 5, 150}, {lin, 10, 200}, {log, 1, 300}, {log, 10, 200}, {log, 1000, 0}, {log, 0.001, 300}} {
		if got := c.a.at(c.v); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%g at %g, want %g", c.v, got, c.want)
		}
	}
	if got := fmt.Sprint(lin.ticks()); got != "[0 1 2 3 4 5 6 7 8 9 10]" && got != "[0 2 4 6 8 10]" {
		t.Errorf("linear ticks %s", got)
	}
	if got := fmt.Sprint(log.ticks()); got != "[1 2 5 10 20 50 100 200 500 1000]" {
		t.Errorf("logarithmic ticks %s", got)
	}
	if got := (axis{lo: 1, hi: 1e6, log: true}).ticks(); len(got) != 7 {
		t.Errorf("many decades: %v", got)
	}
}

func TestLogRange(t *testing.T) {
	for _, c := range []struct {
		in     []float64
		lo, hi float64
	}{
		{[]float64{130, 4200}, 100, 5000}, {[]float64{100, 200}, 100, 200}, {[]float64{7}, 5, 10}, {[]float64{0, math.NaN(), 30}, 20, 50},
		{[]float64{10}, 10, 100}, {nil, 1, 10},
	} {
		if lo, hi := logRange(c.in); math.Abs(lo-c.lo) > 1e-6 || math.Abs(hi-c.hi) > 1e-6 {
			t.Errorf("%v: %g to %g, want %g to %g", c.in, lo, hi, c.lo, c.hi)
		}
	}
}

func TestValueAt(t *testing.T) {
	h := measure.NewHistogram()
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	l := h.Latency()
	for _, p := range []float64{0, 50, 90, 99, 99.9} {
		got, exact := valueAt(l, p), float64(h.At(p))/1e3
		if got < exact*0.999 || got > exact*1.12+1 {
			t.Errorf("p%g: %g, exactly %g", p, got, exact)
		}
	}
	if !math.IsNaN(valueAt(l, 99.99)) {
		t.Error("a thousand values know their p99.99")
	}
}

func TestMicros(t *testing.T) {
	for us, want := range map[float64]string{5: "5 us", 999: "999 us", 1000: "1 ms", 2500: "2.5 ms", 2e6: "2 s"} {
		if got := micros(us); got != want {
			t.Errorf("%g: %s, want %s", us, got, want)
		}
	}
}

// TestRun: every plot is well-formed XML with a line for each target; what was not measured is not drawn.
func TestRun(t *testing.T) {
	h := measure.NewHistogram()
	for i := range 5000 {
		h.Record(time.Duration(100+i) * time.Microsecond)
	}
	l := map[string]measure.Latency{"produce": h.Latency(), "floor 4k1_": h.Latency()}
	r := side.Result{Targets: []string{"ringmq", "kafka"}, Titles: map[string]string{"ringmq": "RingMQ <1>", "kafka": "Kafka"}, Profile: side.Full}
	for round := range 2 {
		for _, target := range r.Targets {
			for name, values := range map[string]map[string]float64{
				"floor": nil, "probe-1": nil, "java-max": {"mb_s": 80}, "sweep-5": {"mb_s": 5, "produce_p99_us": 900}, "sweep-10": {"mb_s": 9.5, "produce_p99_us": 3000}} {
				r.Records = append(r.Records, side.Record{Round: round + 1, Target: target, Case: name, Values: values, Latencies: l})
			}
		}
	}
	dir := t.TempDir()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(dir, "side.json")
	if err := os.WriteFile(input, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(filepath.Join(dir, "out"), []string{input}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "out", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "NaN") || strings.Contains(string(text), "Inf") {
			t.Errorf("%s has coordinates that are no numbers", f)
		}
		for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		}
		lines := strings.Count(string(text), "<polyline")
		want := map[string]int{"latency-probe-1.svg": 3, "load.svg": 2, "throughput.svg": 0}[filepath.Base(f)]
		if lines != want {
			t.Errorf("%s has %d lines, want %d", f, lines, want)
		}
	}
	if !slices.Equal(names, []string{"latency-probe-1.svg", "load.svg", "throughput.svg"}) {
		t.Errorf("drawn: %v", names)
	}
	if err := run(dir, nil); err == nil {
		t.Error("nothing to draw, no error")
	}
}
