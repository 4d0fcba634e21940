package engine

import (
	"testing"
	"time"
)

// TestBrokerDeadline: of the time for a shutdown something is left for telling the controllers, however long the broker takes.
func TestBrokerDeadline(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct{ all, broker time.Duration }{
		{30 * time.Second, 28 * time.Second},
		{4 * time.Second, 3 * time.Second},
		{0, 0},
		{-time.Second, -time.Second}, // over already: no later than that
	} {
		if got := brokerDeadline(now, now.Add(c.all)).Sub(now); got != c.broker {
			t.Errorf("of %v the broker may take %v, want %v", c.all, got, c.broker)
		}
	}
}
