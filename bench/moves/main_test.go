package main

import (
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

var server string // the path of its binary

func TestMain(m *testing.M) { labtest.Main(m, &server) }

// TestMoves: partitions move under load: some per second, all at once, and off brokers that are restarted; every acknowledged record is at its offset, once.
func TestMoves(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: moves of partitions under load, which run servers as processes")
	}
	for _, c := range []struct {
		name   string
		change func(*options)
	}{
		{"some", func(o *options) { o.perSecond = 30 }},
		{"all", func(o *options) { o.all, o.partitions = true, 200 }},
		{"restart", func(o *options) { o.restart = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options{binary: server, dir: t.TempDir(), brokers: 3, partitions: 30, rate: 300, bytes: 500, duration: time.Second,
				overrides: []string{"s3.wal.capacity=134217728"}}
			c.change(&o)
			if err := run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		})
	}
}
