package side

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/ringmq/ringmq/bench/host"
	"github.com/ringmq/ringmq/bench/measure"
)

// Result is everything that a run found; side.json holds it.
type Result struct {
	Started  time.Time           `json:"started"`
	Ended    time.Time           `json:"ended"`
	Machine  host.Machine        `json:"machine"`
	Versions map[string]string   `json:"versions"`
	Profile  Profile             `json:"profile"`
	Rounds   int                 `json:"rounds"`
	Targets  []string            `json:"targets"`
	Titles   map[string]string   `json:"titles"`
	Settings map[string][]string `json:"settings"` // by target
	Notes    []string            `json:"notes,omitempty"`
	Records  []Record            `json:"records"`
}

// Record is one case of one target in one round.
type Record struct {
	Round  int       `json:"round"` // from 1
	Target string    `json:"target"`
	Case   string    `json:"case"`
	At     time.Time `json:"at"`
	// Settings are those of the server that this case has besides the target's.
	Settings []string `json:"settings,omitempty"`
	// Values are the case's metrics by key; see Metrics for their meaning and unit.
	Values map[string]float64 `json:"values,omitempty"`
	// Latencies are whole distributions, by name: produce, end_to_end, floor.
	Latencies map[string]measure.Latency `json:"latencies,omitempty"`
	// Host is what the whole machine did meanwhile, Server what the server's process did.
	Host   host.Load   `json:"host"`
	Server ServerUsage `json:"server"`
	// Output is what a Java tool printed.
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"`
}

// ServerUsage is what the server used during a case.
type ServerUsage struct {
	CPUSeconds      float64 `json:"cpu_seconds"`
	WrittenBytes    int64   `json:"written_bytes"` // at the block layer
	ReadBytes       int64   `json:"read_bytes"`
	ResidentBytes   int64   `json:"resident_bytes"` // at the end
	PeakBytes       int64   `json:"peak_bytes"`     // since its start
	MinIOCPUSeconds float64 `json:"minio_cpu_seconds,omitempty"`
}

// Values collects a metric over the rounds; a round in which it failed is left out.
func (r *Result) Values(target, name, key string) []float64 {
	var out []float64
	for _, rec := range r.Records {
		if v, ok := rec.Values[key]; ok && rec.Target == target && rec.Case == name {
			out = append(out, v)
		}
	}
	return out
}

// ratios divides a metric of one target by one of another (or of another case) within each round.
func (r *Result) ratios(target, name, key, byTarget, byName, byKey string) []float64 {
	var out []float64
	for _, a := range r.Records {
		if a.Target != target || a.Case != name {
			continue
		}
		v, ok := a.Values[key]
		for _, b := range r.Records {
			if w, found := b.Values[byKey]; ok && found && b.Round == a.Round && b.Target == byTarget && b.Case == byName && w != 0 {
				out = append(out, v/w)
			}
		}
	}
	return out
}

// ReadResult reads side.json.
func ReadResult(path string) (*Result, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("side: %w", err)
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("side: %s: %w", path, err)
	}
	return &r, nil
}

func (r *Result) write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("side: %w", err)
	}
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("side: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("side: %w", err)
	}
	return nil
}
