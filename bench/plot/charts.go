package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/side"
)

const (
	width, height = 860.0, 460.0
	left, right   = 80.0, 40.0
	top, bottom   = 62.0, 60.0
)

// grid are the percentiles at which rounds are compared, evenly spread on the axis of halvings of what remains to 100 %.
func grid() []float64 {
	var out []float64
	for x := 0.0; x <= 4.0001; x += 0.05 {
		out = append(out, 100-100*math.Pow(10, -x))
	}
	return out
}

// valueAt reads a distribution: the latency that percent of all do not exceed, NaN past what its count can say.
func valueAt(l measure.Latency, percent float64) float64 {
	if l.Count == 0 || (100-percent)/100*float64(l.Count) < 0.999 {
		return math.NaN()
	}
	for _, p := range l.Points {
		if p.Percent >= percent-1e-9 {
			return p.Micros
		}
	}
	return l.Max
}

// series is one line with its spread over rounds.
type series struct {
	target string
	points []measure.Spread
}

// latency draws one distribution of one case for all targets; floor names the distribution of the device to draw too.
func latency(r *side.Result, name, distribution, title, floor string) string {
	percents := grid()
	var all []series
	if floor != "" {
		if s, ok := distributions(r, "", "floor", floor, percents); ok {
			s.target = "floor"
			all = append(all, s)
		}
	}
	for _, t := range r.Targets {
		if s, ok := distributions(r, t, name, distribution, percents); ok {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return ""
	}
	var values []float64
	for _, s := range all {
		for _, p := range s.points {
			if p.N > 0 {
				values = append(values, p.Min, p.Max)
			}
		}
	}
	c := newCanvas(width, height, title)
	x := axis{lo: 0, hi: 4, from: left, to: width - right}
	lo, hi := logRange(values)
	y := axis{lo: lo, hi: hi, from: height - bottom, to: top, log: true}
	for i, label := range []string{"0 %", "90 %", "99 %", "99.9 %", "99.99 %"} {
		c.line(x.at(float64(i)), y.from, x.at(float64(i)), y.to, "#ddd", 1)
		c.text(x.at(float64(i)), y.from+18, "middle", "", label)
	}
	c.line(x.at(math.Log10(2)), y.from, x.at(math.Log10(2)), y.to, "#ddd", 1)
	c.text(x.at(math.Log10(2)), y.from+18, "middle", "", "50 %")
	c.grid(y)
	c.text((x.from+x.to)/2, height-14, "middle", "", "percentile of requests; lines are the median of the rounds, bands their spread")
	for _, s := range all {
		c.series(s, x, y)
	}
	c.legendOf(r, all)
	return c.String()
}

func (c *canvas) grid(y axis) {
	for _, v := range y.ticks() {
		c.line(left, y.at(v), width-right, y.at(v), "#ddd", 1)
		c.text(left-8, y.at(v)+4, "end", "", micros(v))
	}
}

func (c *canvas) legendOf(r *side.Result, all []series) {
	var names []string
	for _, s := range all {
		names = append(names, s.target)
	}
	c.legend(left, top-16, names, func(t string) string { return titleOf(r, t) })
}

func titleOf(r *side.Result, target string) string {
	if target == "floor" {
		return "the device itself, 4 KiB"
	}
	return r.Titles[target]
}

// series draws the line and the band; what is not known ends it.
func (c *canvas) series(s series, x, y axis) {
	var line, above, below []xy
	for i, p := range s.points {
		if p.N == 0 {
			continue
		}
		at := x.at(float64(i) * 0.05)
		line = append(line, xy{at, y.at(p.Median)})
		above = append(above, xy{at, y.at(p.Max)})
		below = append(below, xy{at, y.at(p.Min)})
	}
	slices.Reverse(below)
	c.polygon(append(above, below...), color(s.target))
	c.polyline(line, color(s.target))
}

// distributions collects a distribution over the rounds; no target means all of them.
func distributions(r *side.Result, target, name, distribution string, percents []float64) (series, bool) {
	var found []measure.Latency
	for _, rec := range r.Records {
		if l, ok := rec.Latencies[distribution]; ok && rec.Case == name && (target == "" || rec.Target == target) && len(l.Points) > 0 {
			found = append(found, l)
		}
	}
	s := series{target: target}
	for _, p := range percents {
		var v []float64
		for _, l := range found {
			v = append(v, valueAt(l, p))
		}
		s.points = append(s.points, measure.SpreadOf(v))
	}
	return s, len(found) > 0
}

// throughput draws bars of MB/s.
func throughput(r *side.Result) string {
	groups := []struct{ name, title string }{
		{"java-max", "Java producer, default settings"},
		{"java-batch", "Java producer, batches of 128 KiB"},
		{"java-consume", "Java consumer, just written"},
		{"java-consume-cold", "Java consumer, cold"},
	}
	groups = slices.DeleteFunc(groups, func(g struct{ name, title string }) bool { return !has(r, g.name, "mb_s") })
	if len(groups) == 0 {
		return ""
	}
	highest := 0.0
	for _, g := range groups {
		for _, t := range r.Targets {
			highest = max(highest, spreadOf(r, t, g.name, "mb_s").Max)
		}
	}
	const bar, gap = 20.0, 26.0
	h := top + 12 + float64(len(groups))*(gap+bar*float64(len(r.Targets))) + bottom
	c := newCanvas(width, h, "throughput of Kafka's own tools, records of 1 KB, MB/s")
	x := axis{lo: 0, hi: highest * 1.1, from: left + 170, to: width - right}
	for _, v := range x.ticks() {
		c.line(x.at(v), top, x.at(v), h-bottom, "#ddd", 1)
		c.text(x.at(v), h-bottom+18, "middle", "", short(v))
	}
	y := top + 12
	for _, g := range groups {
		c.text(x.from-8, y+bar*float64(len(r.Targets))/2+4, "end", "", g.title)
		for _, t := range r.Targets {
			if s := spreadOf(r, t, g.name, "mb_s"); s.N > 0 {
				c.rect(x.from, y+2, x.at(s.Median)-x.from, bar-4, color(t))
				c.line(x.at(s.Min), y+bar/2, x.at(s.Max), y+bar/2, "#000", 1)
				c.text(x.at(s.Max)+5, y+bar/2+4, "start", `font-size="11"`, short(s.Median))
			}
			y += bar
		}
		y += gap
	}
	c.legend(left-60, top-16, r.Targets, func(t string) string { return titleOf(r, t) })
	return c.String()
}

// sweep draws a latency over throughput.
func sweep(r *side.Result, key, title string) string {
	type point struct{ mb, us float64 }
	lines := map[string][]point{}
	var values []float64
	most := 0.0
	var cases []string
	for _, rec := range r.Records {
		if strings.HasPrefix(rec.Case, "sweep-") && !slices.Contains(cases, rec.Case) {
			cases = append(cases, rec.Case)
		}
	}
	for _, t := range r.Targets {
		for _, name := range cases {
			mb, us := spreadOf(r, t, name, "mb_s"), spreadOf(r, t, name, key)
			if mb.N > 0 && us.N > 0 {
				lines[t] = append(lines[t], point{mb.Median, us.Median})
				values = append(values, us.Median)
				most = max(most, mb.Median)
			}
		}
	}
	if len(values) == 0 {
		return ""
	}
	c := newCanvas(width, height, title)
	x := axis{lo: 0, hi: most * 1.05, from: left, to: width - right}
	lo, hi := logRange(values)
	y := axis{lo: lo, hi: hi, from: height - bottom, to: top, log: true}
	for _, v := range x.ticks() {
		c.line(x.at(v), y.from, x.at(v), y.to, "#ddd", 1)
		c.text(x.at(v), y.from+18, "middle", "", short(v))
	}
	c.grid(y)
	c.text((x.from+x.to)/2, height-14, "middle", "", "MB/s acknowledged, at rates offered of "+offered(cases))
	var drawn []series
	for _, t := range r.Targets {
		var line []xy
		for _, p := range lines[t] {
			line = append(line, xy{x.at(p.mb), y.at(p.us)})
		}
		if len(line) == 0 {
			continue
		}
		c.polyline(line, color(t))
		for _, p := range line {
			c.dot(p, color(t))
		}
		drawn = append(drawn, series{target: t})
	}
	c.legendOf(r, drawn)
	return c.String()
}

func offered(cases []string) string {
	var out []string
	for _, c := range cases {
		out = append(out, strings.TrimPrefix(c, "sweep-"))
	}
	return fmt.Sprintf("%s MB/s", strings.Join(out, ", "))
}

func has(r *side.Result, name, key string) bool {
	return slices.ContainsFunc(r.Targets, func(t string) bool { return spreadOf(r, t, name, key).N > 0 })
}

func spreadOf(r *side.Result, target, name, key string) measure.Spread {
	return measure.SpreadOf(r.Values(target, name, key))
}
