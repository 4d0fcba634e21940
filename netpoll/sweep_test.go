package netpoll

import (
	"testing"
	"time"
)

// TestCounted: what the process slept through is not held against its peers.
func TestCounted(t *testing.T) {
	const period = 400 * time.Millisecond
	for _, tc := range []struct{ elapsed, want time.Duration }{
		{0, 0}, {390 * time.Millisecond, 390 * time.Millisecond}, {500 * time.Millisecond, 500 * time.Millisecond},
		{501 * time.Millisecond, 500 * time.Millisecond}, {time.Hour, 500 * time.Millisecond},
	} {
		if got := counted(tc.elapsed, period); got != tc.want {
			t.Errorf("%v between two ticks count as %v, want %v", tc.elapsed, got, tc.want)
		}
	}
}
