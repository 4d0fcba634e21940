package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// canvas is an SVG under construction. Coordinates are pixels, y grows downwards.
type canvas struct {
	b    strings.Builder
	w, h float64
}

func newCanvas(w, h float64, title string) *canvas {
	c := &canvas{w: w, h: h}
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="sans-serif" font-size="12">`+"\n", w, h, w, h)
	fmt.Fprintf(&c.b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", w, h)
	c.text(w/2, 22, "middle", `font-size="15" font-weight="bold"`, title)
	return c
}

func (c *canvas) text(x, y float64, anchor, style, s string) {
	fmt.Fprintf(&c.b, `<text x="%s" y="%s" text-anchor="%s" fill="#222" %s>%s</text>`+"\n", px(x), px(y), anchor, style, html.EscapeString(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, color string, width float64) {
	fmt.Fprintf(&c.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-width="%g"/>`+"\n", px(x1), px(y1), px(x2), px(y2), color, width)
}

func (c *canvas) rect(x, y, w, h float64, color string) {
	fmt.Fprintf(&c.b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", px(x), px(y), px(w), px(h), color)
}

func (c *canvas) polyline(points []xy, color string) {
	fmt.Fprintf(&c.b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", list(points), color)
}

func (c *canvas) polygon(points []xy, color string) {
	fmt.Fprintf(&c.b, `<polygon points="%s" fill="%s" fill-opacity="0.15"/>`+"\n", list(points), color)
}

func (c *canvas) dot(p xy, color string) {
	fmt.Fprintf(&c.b, `<circle cx="%s" cy="%s" r="3.5" fill="%s"/>`+"\n", px(p.x), px(p.y), color)
}

func (c *canvas) String() string { return c.b.String() + "</svg>\n" }

type xy struct{ x, y float64 }

func list(points []xy) string {
	parts := make([]string, len(points))
	for i, p := range points {
		parts[i] = px(p.x) + "," + px(p.y)
	}
	return strings.Join(parts, " ")
}

func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// axis maps values to pixels.
type axis struct {
	lo, hi   float64 // values at the ends
	from, to float64 // pixels at the ends
	log      bool
}

func (a axis) at(v float64) float64 {
	lo, hi := a.lo, a.hi
	if a.log {
		v, lo, hi = math.Log10(math.Max(v, a.lo)), math.Log10(lo), math.Log10(hi)
	}
	return a.from + (v-lo)/(hi-lo)*(a.to-a.from)
}

// ticks are the values to mark: of a logarithmic axis the powers of ten within it and, when they are few, 2 and 5 times them; of a linear
// one five to ten round values.
func (a axis) ticks() []float64 {
	var out []float64
	if a.log {
		steps := []float64{1, 2, 5}
		if math.Log10(a.hi/a.lo) > 4 {
			steps = steps[:1]
		}
		for e := math.Floor(math.Log10(a.lo)); e <= math.Ceil(math.Log10(a.hi)); e++ {
			for _, s := range steps {
				if v := s * math.Pow(10, e); v >= a.lo*0.999 && v <= a.hi*1.001 {
					out = append(out, v)
				}
			}
		}
		return out
	}
	step := math.Pow(10, math.Floor(math.Log10((a.hi-a.lo)/5)))
	for _, f := range []float64{1, 2, 5, 10} {
		if (a.hi-a.lo)/(step*f) <= 10 {
			step *= f
			break
		}
	}
	for v := math.Ceil(a.lo/step) * step; v <= a.hi*1.0001; v += step {
		out = append(out, v)
	}
	return out
}

// logRange is the range of a logarithmic axis that holds all values, from a 1, 2 or 5 to a 1, 2 or 5.
func logRange(values []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), 0
	for _, v := range values {
		if v > 0 {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	if hi == 0 {
		return 1, 10
	}
	lo, hi = round125(lo, false), round125(hi, true)
	if lo == hi {
		hi *= 10
	}
	return lo, hi
}

func round125(v float64, up bool) float64 {
	e := math.Pow(10, math.Floor(math.Log10(v)))
	steps := []float64{1, 2, 5, 10}
	if up {
		for _, s := range steps {
			if s*e >= v*0.9999 {
				return s * e
			}
		}
	}
	best := e
	for _, s := range steps {
		if s*e <= v*1.0001 {
			best = s * e
		}
	}
	return best
}

// micros is a latency in the unit that suits it.
func micros(us float64) string {
	switch {
	case us >= 1e6:
		return short(us/1e6) + " s"
	case us >= 1e3:
		return short(us/1e3) + " ms"
	}
	return short(us) + " us"
}

func short(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// colors of targets tell apart for eyes of every kind (Okabe and Ito).
var colors = map[string]string{"ringmq": "#0072b2", "ringmq-loop": "#56b4e9", "ringmq-minio": "#009e73", "kafka": "#d55e00", "kafka-synced": "#e69f00", "floor": "#777777"}

// others are for variants of targets.
var others = []string{"#cc79a7", "#000000", "#8c564b", "#b8a500", "#7f3fbf"}

func color(target string) string {
	if c, ok := colors[target]; ok {
		return c
	}
	n := 0
	for _, c := range []byte(target) {
		n += int(c)
	}
	return others[n%len(others)]
}

// legend lists names with their colors in one row, from (x, y) to the right.
func (c *canvas) legend(x, y float64, targets []string, title func(string) string) {
	for _, t := range targets {
		c.rect(x, y-9, 12, 10, color(t))
		c.text(x+17, y, "start", "", title(t))
		x += 36 + 6.7*float64(len(title(t)))
	}
}
