package side

import (
	"strings"
	"testing"
)

const serverLog = `time=2026-11-23T01:00:00.1Z level=DEBUG msg=uploaded streams=100 objects=1 bytes=16777216 took=80ms
gc 1 @0.010s 2%: 0.020+1.2+0.010 ms clock, 0.04+0.1/0.2/0.3+0.02 ms cpu, 4->4->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
time=2026-11-23T01:00:00.5Z level=DEBUG msg=uploaded streams=100 objects=2 bytes=16777216 took=80ms
gc 2 @1.010s 3%: 0.25+1.2+0.1 ms clock, 0.04+0.1/0.2/0.3+0.02 ms cpu, 4->4->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
time=2026-11-23T01:01:00.5Z level=DEBUG msg="compacted stream-set objects" objects=12 streams=100 into=1 took=2s
`

func TestBackground(t *testing.T) {
	var rec Record
	if err := rec.background(serverLog, true); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]float64{"uploads": 2, "uploads_objects": 3, "compactions": 1, "compactions_objects": 12, "gc_cycles": 2, "gc_p50_us": 100, "gc_p9999_us": 250,
		"gc_cpu_percent": 3} {
		if got := rec.Values[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	lines := strings.SplitAfter(serverLog, "\n")
	for want, log := range map[string]string{
		"nothing was compacted":      strings.Join(lines[:4], ""),
		"nothing was uploaded":       lines[1] + lines[3],
		"no line of the garbage":     lines[0],
		"of 2 cycles of the garbage": lines[0] + lines[3],
	} {
		if err := rec.background(log, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := rec.background(strings.Join(lines[:4], ""), false); err != nil {
		t.Errorf("a short run: %v", err)
	}
}
