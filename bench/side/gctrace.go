package side

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// gcLine is a line of GODEBUG=gctrace=1: number of the cycle, time since the start, share of processor time since then, and the wall clock of the first
// pause, the concurrent part and the second pause in milliseconds.
var gcLine = regexp.MustCompile(`\bgc (\d+) @[\d.]+s (\d+)%: ([\d.]+)\+[\d.]+\+([\d.]+) ms clock`)

// gcPauses is what a collector stopped the program for. Pauses are microseconds.
type gcPauses struct {
	cycles, pauses int
	p50, p9999     float64 // of fewer than 10,000 pauses the latter is the longest
	percent        float64 // of processor time
}

// parseGC reads a log that has gctrace's lines among others. The runtime writes a line in pieces, so that another may get between them: some may be
// damaged, but if many are, what is left does not count.
func parseGC(log string) (g gcPauses, err error) {
	var pauses []float64
	last := 0
	for _, m := range gcLine.FindAllStringSubmatch(log, -1) {
		first, err1 := strconv.ParseFloat(m[3], 64)
		second, err2 := strconv.ParseFloat(m[4], 64)
		if err1 != nil || err2 != nil {
			continue
		}
		g.cycles++
		pauses = append(pauses, first*1e3, second*1e3)
		last, _ = strconv.Atoi(m[1])
		g.percent, _ = strconv.ParseFloat(m[2], 64)
	}
	if g.pauses = len(pauses); g.pauses == 0 {
		return g, fmt.Errorf("side: the server's log has no line of the garbage collector")
	}
	if g.cycles*20 < last*19 {
		return g, fmt.Errorf("side: of %d cycles of the garbage collector the log has %d", last, g.cycles)
	}
	slices.Sort(pauses)
	at := func(p float64) float64 { return pauses[min(len(pauses)-1, int(p*float64(len(pauses))))] }
	g.p50, g.p9999 = at(0.5), at(0.9999)
	return g, nil
}
