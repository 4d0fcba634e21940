package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/wal"
)

// walBench measures the ways to make a write durable on one device, beside the log's own way.
func (p Program) walBench() *cobra.Command {
	var o wal.BenchOptions
	c := &cobra.Command{
		Use: "bench PATH", Short: "Measure durable writes: which way of syncing wins on this device, and what the log makes of it", Args: exactly(1, "PATH"),
		Long: "Measure durable writes of several sizes and depths on the file system of PATH (a directory, or a file in it, which is not touched: a\n" +
			"scratch file is written beside it and removed), or on a block device with --overwrite, which destroys what it holds.",
		RunE: func(c *cobra.Command, args []string) error {
			o.Path = args[0]
			fmt.Fprintf(p.Stdout, "%-24s %8s %5s %9s %9s %9s %9s %10s %8s\n", "method", "bytes", "depth", "p50", "p99", "p99.9", "max", "MB/s", "CPU/op")
			return wal.Bench(c.Context(), o, func(r wal.BenchResult) {
				if r.Err != nil {
					fmt.Fprintf(p.Stdout, "%-24s %8d %5d %v\n", r.Method, r.Size, r.Depth, r.Err)
					return
				}
				us := func(d time.Duration) string { return fmt.Sprintf("%d us", d.Microseconds()) }
				fmt.Fprintf(p.Stdout, "%-24s %8d %5d %9s %9s %9s %9s %10.1f %8s\n", r.Method, r.Size, r.Depth, us(r.P50), us(r.P99), us(r.P999), us(r.Max),
					r.BytesPerSecond/1e6, us(r.CPU))
			})
		},
	}
	c.Flags().BoolVar(&o.Overwrite, "overwrite", false, "PATH is a block device whose content may be destroyed")
	c.Flags().DurationVar(&o.Duration, "duration", 0, "time of each measurement (default 1s)")
	c.Flags().Int64Var(&o.Bytes, "bytes", 0, "size of the scratch file (default 256 MiB)")
	c.Flags().IntSliceVar(&o.Sizes, "sizes", nil, "bytes per write (default 4096,16384,65536)")
	c.Flags().IntSliceVar(&o.Depths, "depths", nil, "writes in flight (default 1,4,16)")
	return c
}
