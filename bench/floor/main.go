// Command floor writes a device directly and durably, with nothing in between: O_DIRECT|O_DSYNC pwrite into a file of zeros, of the block
// sizes and at the depths that a log uses. No broker on this device can acknowledge sooner; the table of bench/side shows each broker's
// distance from it.
//
//	go run ./bench/floor -dir /var/lib/ringmq                   4 KiB at depth 1, 16 and 64 KiB, depth 1 to 8
//	go run ./bench/floor -dir . -points 4096x1,262144x2 -json
//	go run ./bench/floor -device /dev/vdb -overwrite            the raw device: what is on it is lost
//
// The file is written once before it is measured, so that the file system has nothing to allocate. Depth n is n threads with one write in
// flight each, at consecutive offsets; the file is used as a ring.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, device   string
	overwrite     bool
	sizes, depths string
	points        string
	fileMB        int
	duration      time.Duration
	warmup        time.Duration
	json          bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", ".", "directory on the device; a temporary file is made in it")
	flag.StringVar(&o.device, "device", "", "a block device to write instead of a file")
	flag.BoolVar(&o.overwrite, "overwrite", false, "with -device: yes, destroy what is on it")
	flag.StringVar(&o.sizes, "sizes", "4096,16384,65536", "bytes per write")
	flag.StringVar(&o.depths, "depths", "1,2,4,8", "writes in flight")
	flag.StringVar(&o.points, "points", "", "BYTESxDEPTH, separated by commas: only these, in the place of every size at every depth")
	flag.IntVar(&o.fileMB, "file-mb", 256, "MiB to write over and over")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "measured time per size and depth")
	flag.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "time before that")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	points, err := o.pairs()
	if err != nil {
		return err
	}
	path, bytes := o.device, int64(o.fileMB)<<20
	switch {
	case o.device != "" && !o.overwrite:
		return fmt.Errorf("-device %s: everything on it would be lost; -overwrite says that you mean it", o.device)
	case o.device == "":
		f, err := os.CreateTemp(o.dir, ".floor-")
		if err != nil {
			return err
		}
		path = f.Name()
		defer os.Remove(path)
		f.Close()
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	t, err := openTarget(path, bytes, o.device == "")
	if err != nil {
		return err
	}
	defer t.close()
	var results []Result
	if !o.json {
		fmt.Printf("%8s %6s %10s %9s %9s %9s %9s %9s %9s\n", "bytes", "depth", "writes/s", "MB/s", "p50 us", "p99 us", "p99.9 us", "p99.99", "max us")
	}
	for _, p := range points {
		r, err := t.measure(ctx, p.size, p.depth, o.warmup, o.duration)
		if err != nil {
			return err
		}
		results = append(results, r)
		if l := r.Latency; !o.json {
			fmt.Printf("%8d %6d %10.0f %9.1f %9.0f %9.0f %9.0f %9.0f %9.0f\n", p.size, p.depth, r.PerSecond, r.MBPerSecond, l.P50, l.P99, l.P999, l.P9999, l.Max)
		}
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(results)
	}
	return nil
}

// point is what to write: how many bytes at once, and how many writes in flight.
type point struct{ size, depth int }

// pairs are the points to measure, in order.
func (o options) pairs() (out []point, err error) {
	if o.points != "" {
		for s := range strings.SplitSeq(o.points, ",") {
			size, depth, _ := strings.Cut(s, "x")
			n, err := numbers("-points", size+","+depth)
			if err != nil {
				return nil, fmt.Errorf("%w; want BYTESxDEPTH", err)
			}
			out = append(out, point{n[0], n[1]})
		}
		return out, nil
	}
	sizes, err := numbers("-sizes", o.sizes)
	if err != nil {
		return nil, err
	}
	depths, err := numbers("-depths", o.depths)
	if err != nil {
		return nil, err
	}
	for _, size := range sizes {
		for _, depth := range depths {
			out = append(out, point{size, depth})
		}
	}
	return out, nil
}

// numbers parses a comma-separated list of numbers above zero.
func numbers(name, list string) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is not a number above zero", name, s)
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return nil, errors.New(name + " is empty")
	}
	return out, nil
}
