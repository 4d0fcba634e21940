package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/wal"
)

// walResize changes the capacity of a log in a file.
func (p Program) walResize() *cobra.Command {
	return &cobra.Command{
		Use: "resize PATH SIZE", Short: "Change the capacity of a log file while its node is stopped", Args: exactly(2, "PATH and SIZE"),
		Long: `Change the capacity of a write-ahead log in a file. SIZE is in bytes, or with K, M, G or T (powers of 1024), headers included, a multiple of 4096.
The node must be stopped.

Growing keeps every record. The new space is allocated and written at once, and the node uses it from its next start on; only when
records lie around the end of the ring, from the first start that finds them uploaded.
Shrinking needs an empty log: start the node and stop it cleanly (SIGTERM), which uploads everything, then shrink.
If the command is interrupted the log is whole, with its old or its new capacity; give it again.

A log on a block device uses the device whole: enlarge the device (lvextend, a cloud volume), and the node uses it from its next start on, as
above. Set capacity= of s3.wal.path to the new size, too, should the file ever have to be made anew.`,
		Example: "  ringmq wal resize /var/lib/ringmq/wal 8G",
		RunE: func(c *cobra.Command, args []string) error {
			size, err := parseSize(args[1])
			if err != nil {
				return usageError("%s: SIZE %q: %v", c.CommandPath(), args[1], err)
			}
			r, err := wal.Resize(c.Context(), args[0], size)
			if err != nil {
				return err
			}
			when := "from the next start of its node on"
			if r.Wrapped {
				when = "from the first start of its node that finds them uploaded on: they lie around the end of the ring"
			}
			if r.After == r.Before {
				when = "as before"
			}
			fmt.Fprintf(p.Stdout, "%s: %d bytes, was %d; %d records stay; used %s\n", args[0], r.After, r.Before, r.Records, when)
			return nil
		},
	}
}

// parseSize reads a number of bytes: 1048576, 1024K, 1M, 1MiB.
func parseSize(text string) (int64, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "IB"), "B")
	shift := 0
	if n := len(s); n > 0 {
		if i := strings.IndexByte("KMGT", s[n-1]); i >= 0 {
			shift, s = 10*(i+1), s[:n-1]
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("want bytes, or a number with K, M, G or T")
	}
	return n << shift, nil
}
