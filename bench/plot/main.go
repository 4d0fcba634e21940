// Command plot draws what bench/side measured, as SVG files that need nothing but a browser:
//
//	go run ./bench/plot -out docs/ .run/bench/<time>/side.json
//
//	latency-CASE.svg      latency over percentile for each target, lines the median of the rounds, bands their spread
//	throughput.svg        MB/s of Kafka's own tools, bars the median, whiskers the spread
//	load.svg, load-e2e.svg   latency over throughput, from the sweep of rates of the full profile
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ringmq/ringmq/bench/side"
)

func main() {
	out := flag.String("out", ".", "directory for the files")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(out string, args []string) error {
	if len(args) != 1 {
		return errors.New("one argument is needed: the side.json to draw")
	}
	r, err := side.ReadResult(args[0])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	plots := []struct {
		name string
		svg  string
	}{
		{"latency-probe-1", latency(r, "probe-1", "produce", "1 KB durable produce, one request in flight", "floor 4k1_")},
		{"latency-probe-1000", latency(r, "probe-1000", "produce", "1 KB produce, open loop, 1,000 requests a second over 4 connections", "")},
		{"latency-probe-5000", latency(r, "probe-5000", "produce", "1 KB produce, open loop, 5,000 requests a second over 4 connections", "")},
		{"latency-probe-64", latency(r, "probe-64", "produce", "100 B produce, 64 connections with one request in flight each", "")},
		{"latency-load-e2e", latency(r, "load", "end_to_end", fmt.Sprintf("produce to consume at %g MB/s of 1 KB records", r.Profile.LoadMB), "")},
		{"latency-minio-load", latency(r, "minio-load", "end_to_end", fmt.Sprintf("produce to consume at %g MB/s, objects in MinIO, uploads and compaction running", r.Profile.MinIOLoadMB), "")},
		{"throughput", throughput(r)},
		{"load", sweep(r, "produce_p99_us", "produce p99 over throughput, 1 KB records, produced and consumed at once")},
		{"load-e2e", sweep(r, "e2e_p99_us", "produce to consume p99 over throughput, 1 KB records")},
	}
	written := 0
	for _, p := range plots {
		if p.svg == "" {
			continue // that case was not run
		}
		if err := os.WriteFile(filepath.Join(out, p.name+".svg"), []byte(p.svg), 0o644); err != nil {
			return err
		}
		written++
	}
	fmt.Printf("%d plots in %s\n", written, out)
	return nil
}
