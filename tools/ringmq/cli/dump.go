package cli

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/s3stream/object"
	"github.com/ringmq/ringmq/wal"
)

// walCommand looks into a write-ahead log, formats and resizes one. inspect and dump change nothing; dump goes on past damage.
func (p Program) walCommand() *cobra.Command {
	inspect := &cobra.Command{
		Use: "inspect PATH", Short: "Say what a device or file holds: whose log, how full, clean or not", Args: exactly(1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			info, err := wal.Inspect(c.Context(), args[0])
			if err != nil {
				return err
			}
			p.describeWAL(info)
			return info.Corrupt
		},
	}
	var options wal.DumpOptions
	dump := &cobra.Command{
		Use: "dump PATH", Short: "List superblocks and blocks, damaged ones included", Args: exactly(1, "PATH"),
		RunE: func(c *cobra.Command, args []string) error { return wal.Dump(c.Context(), p.Stdout, args[0], options) },
	}
	dump.Flags().BoolVar(&options.Records, "records", false, "list the records of each block, too")
	dump.Flags().BoolVar(&options.All, "all", false, "list blocks behind the end too, and why they are not part of the log")

	var (
		source sourceFlags
		force  bool
		how    string
	)
	format := &cobra.Command{
		Use: "format [FILE]", Short: "Make an empty log of the s3.wal.path of a configuration", Args: atMost(1),
		Long: "Make an empty log of the s3.wal.path of a configuration. A server does this by itself on its first start; this command is for a\n" +
			"device that carries something else, which only --force overwrites, and for a file that is to be written full before the first start. What the old log held and no bucket has is lost.\n\n" +
			"The ways to make a write durable are measured for a moment, and the log remembers the fastest (ringmq wal inspect shows the figures). --sync makes it\n" +
			"remember another one; sync= of s3.wal.path goes before either.",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := p.load(&source, args)
			if err != nil {
				return err
			}
			o := wal.Options{Path: cfg.WAL.Path, CapacityBytes: cfg.WAL.CapacityBytes, ClusterID: cfg.ClusterID, NodeID: cfg.NodeID}
			if o.Sync, err = wal.ParseSyncMethod(how); err != nil {
				return usageError("ringmq wal format: --sync: %v", err)
			}
			if cfg.ClusterID == "" {
				return usageError("ringmq wal format: cluster.id is not set: give it by --override cluster.id=... (log.dirs/meta.properties has it)")
			}
			if err := wal.Format(o, force); err != nil {
				return err
			}
			fmt.Fprintf(p.Stdout, "%s: formatted for node %d of cluster %s\n", cfg.WAL.Path, cfg.NodeID, cfg.ClusterID)
			info, err := wal.Inspect(c.Context(), cfg.WAL.Path)
			if err == nil {
				fmt.Fprintf(p.Stdout, "durable by %v\n", info.Sync)
			}
			return err
		},
	}
	source.register(format)
	format.Flags().StringVar(&how, "sync", "auto", "how writes are made durable: dsync, rwf, fdatasync, or auto: what is fastest on this device")
	format.Flags().BoolVar(&force, "force", false, "overwrite whatever the target carries")
	return group("wal", "Look into a write-ahead log, format, resize and rescue it, and measure its device", inspect, dump, format, p.walResize(), p.walRescue(), p.walBench())
}

// describeWAL prints what a target holds.
func (p Program) describeWAL(info wal.Info) {
	out := func(format string, args ...any) { fmt.Fprintf(p.Stdout, format+"\n", args...) }
	out("%s: %d bytes", info.Path, info.Bytes)
	out("disk: %v", info.Hardware)
	if info.Newest >= 0 {
		out("durable by %v", info.Sync)
	}
	if info.Unwritten > 0 {
		out("%d bytes were never written: a running node fills them, and ringmq wal format writes a whole file at once", info.Unwritten)
	}
	for i, s := range info.Slots {
		if s.Fault != nil {
			out("superblock %d: %v", i, s.Fault)
			continue
		}
		out("superblock %d: sequence %d, cluster %s, node %d, epoch %d, uuid %x, capacity %d, generation %d, trim %d, clean %t",
			i, s.Sequence, s.ClusterID, s.NodeID, s.NodeEpoch, s.UUID, s.Capacity, s.Generation, s.Trim, s.Clean)
	}
	if info.Newest < 0 {
		found := info.Found
		if found == "" {
			found = "nothing: it is blank"
		}
		out("no write-ahead log; found: %s", found)
		return
	}
	if s := info.Slots[info.Newest]; info.Bytes > s.Capacity {
		out("%d bytes behind the log are not in use yet: the node takes them at its next start, when its records do not lie around the ring's end", info.Bytes-s.Capacity)
	}
	out("log: %d blocks with %d records, %d bytes in use, ends at %d (%s)", info.Blocks, info.Records, info.Used, info.End, info.Stop)
}

// objectCommand looks into objects of the data bucket.
func (p Program) objectCommand() *cobra.Command {
	var (
		source  sourceFlags
		options object.DumpOptions
	)
	dump := &cobra.Command{
		Use: "dump KEY [FILE]", Short: "Decode an object of the data bucket, past damage", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, _, err := p.load(&source, args[1:])
			if err != nil {
				return err
			}
			b, err := engine.OpenBucket(c.Context(), cfg.DataBuckets[0], slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			return object.Dump(c.Context(), p.Stdout, b, args[0], options)
		},
	}
	source.register(dump)
	dump.Flags().BoolVar(&options.Records, "records", false, "list the records, too")
	return group("object", "Look into objects of the data bucket", dump)
}

// exactly wants n arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError("%s: got %d arguments, want %s (see %s --help)", c.CommandPath(), len(args), what, c.CommandPath())
		}
		return nil
	}
}
