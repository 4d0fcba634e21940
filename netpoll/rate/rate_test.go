package rate

import (
	"math"
	"testing"
)

// TestWindowed holds the numbers that Kafka's Rate and QuotaUtils.throttleTime give for the same history: 11 samples of one second.
func TestWindowed(t *testing.T) {
	type event struct {
		at    int64
		value float64
	}
	for _, tc := range []struct {
		name   string
		events []event
		at     int64
		limit  float64
		rate   float64
		wait   int64
	}{
		{"nothing", nil, 5000, 10, 0, 0},
		{"a burst at once counts over ten windows", []event{{0, 20_000}}, 0, 1000, 2000, 10_000},
		{"as much as is allowed", []event{{0, 10_000}}, 0, 1000, 1000, 0},
		{"in the middle of a window, the part of it counts too", []event{{0, 21_000}}, 500, 1000, 2000, 10_500},
		{"a steady stream", []event{{0, 1000}, {1000, 1000}, {2000, 1000}, {3000, 1000}}, 3000, 100, 400, 30_000},
		{"what is old does not count", []event{{0, 1e9}, {11_000, 500}}, 11_000, 1000, 50, 0},
		{"until its whole window is", []event{{0, 1000}, {999, 1000}, {11_000, 0}}, 11_500, 1000, 2000. / 11.5, 0},
	} {
		w := Windowed{Samples: 11, Window: 1000}
		for _, e := range tc.events {
			w.Record(e.at, e.value)
		}
		if got := w.PerSecond(tc.at); math.Abs(got-tc.rate) > 1e-9 {
			t.Errorf("%s: rate %v, want %v", tc.name, got, tc.rate)
		}
		if got := w.Wait(tc.at, tc.limit); got != tc.wait {
			t.Errorf("%s: wait %d ms, want %d", tc.name, got, tc.wait)
		}
	}
}

// TestWindowedKeepsToTheLimit lets somebody who waits as told send as fast as it goes: the limit holds in the long run, and nothing is kept for long.
func TestWindowedKeepsToTheLimit(t *testing.T) {
	const limit, size, duration = 1000.0, 700.0, 600_000
	w := Windowed{Samples: 11, Window: 1000}
	now, sent := int64(0), 0.0
	for now < duration {
		w.Record(now, size)
		sent += size
		now += 1 + w.Wait(now, limit)
	}
	if per := sent / (float64(now) / 1000); per > 1.05*limit || per < 0.9*limit {
		t.Errorf("%.0f per second, want %.0f", per, limit)
	}
	if len(w.ring) > 12 {
		t.Errorf("%d windows are kept", len(w.ring))
	}
	if w.Idle(now) || !w.Idle(now+11_000) {
		t.Error("it is idle after 11 windows, not before")
	}
}

func TestBucket(t *testing.T) {
	b := Bucket{Samples: 11, Window: 1000}
	step := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	step("full at first", b.Tokens(100, 2), 22)
	b.Take(100, 40, 2)
	step("overdrawn", b.Tokens(100, 2), -18)
	step("wait", float64(b.Wait(100, 2)), 9000)
	step("half of that later", b.Tokens(4600, 2), -9)
	step("never more than full", b.Tokens(1_000_000, 2), 22)
	step("a smaller limit, a smaller bucket", b.Tokens(1_000_000, 1), 11)
	step("a wait has a bound", float64((&Bucket{Samples: 1, Window: 1, used: true, tokens: -1e18}).Wait(0, 1e-9)), maxWait)
}
