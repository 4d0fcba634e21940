package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

var server string // the path of its binary

func TestMain(m *testing.M) { labtest.Main(m, &server) }

// TestWorkload is the short form: a node that is killed and paused, and three between which partitions move as well. make soak-checker is the long one.
func TestWorkload(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: random clients on servers that fail, which run as processes")
	}
	for name, nodes := range map[string]int{"one node": 1, "three nodes": 3} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			report, err := run(t.Context(), options{binary: server, dir: dir, nodes: nodes, duration: 8 * time.Second, seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(report)
			if len(report.Anomalies) > 0 {
				t.Errorf("history: %s", filepath.Join(dir, "history.jsonl"))
			}
			if report.Acknowledged < 100 || report.Commits < 10 || report.Polled < 100 {
				t.Error("too little has happened to say anything")
			}
		})
	}
}
