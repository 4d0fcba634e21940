package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine"
)

// Exit statuses of wal rescue beside 0, 1 and 2.
const (
	exitRefused = 3
	exitDamaged = 4
)

// walRescue uploads a dead broker's log from wherever it is at hand.
func (p Program) walRescue() *cobra.Command {
	var (
		source sourceFlags
		log    logFlags
		path   string
		force  bool
	)
	c := &cobra.Command{
		Use: "rescue --wal PATH [FILE]", Short: "Upload what a dead broker's log holds, and have live brokers serve its partitions", Args: atMost(1),
		Long: `Upload what a dead broker's write-ahead log holds, close the broker's streams and give its partitions to live brokers. Then the log is empty.

PATH is the broker's device or file, on this host: attach the disk of the dead one here. FILE, --s3-url and --override say where the
controllers (controller.quorum.voters) and the data bucket are: the properties file of any node of the cluster will do, and whose log it is
stands in the log. Records that were acknowledged are all kept, at their offsets.

The command refuses while the broker may be alive: while its process has the log, be it paused, and until broker.session.timeout.ms after its
last sign of life. --force does without the latter. It is safe with the broker's own device or file, but not with a copy of it that was made while the broker was
running: what was acknowledged since would be lost.
Interrupted at any point it can be given again. While it runs the broker cannot register; afterwards it may come back with this log, or another.

Exit status: 0 done; 1 failed, give it again; 2 usage; 3 refused, nothing was changed; 4 acknowledged records are damaged or missing, the log is as it was.`,
		Example: "  ringmq wal rescue --wal /dev/sdb --override controller.quorum.voters=1@host1:9093 config/server.properties",
		RunE: func(c *cobra.Command, args []string) error {
			if path == "" {
				return usageError("%s: --wal is missing (see %s --help)", c.CommandPath(), c.CommandPath())
			}
			logger, err := log.logger(p.Stderr)
			if err != nil {
				return err
			}
			cfg, _, err := p.load(&source, args)
			if err != nil {
				return err
			}
			begun := time.Now()
			err = engine.Rescue(c.Context(), engine.RescueOptions{Config: cfg, WAL: path, Force: force, Logger: logger, Progress: func(format string, args ...any) {
				fmt.Fprintf(p.Stdout, "%6.1fs %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
			}})
			switch {
			case errors.Is(err, engine.ErrRescueRefused):
				return &exitError{exitRefused, err}
			case errors.Is(err, engine.ErrRescueDamaged):
				return &exitError{exitDamaged, err}
			}
			return err
		},
	}
	source.register(c)
	log.registerQuiet(c)
	c.Flags().StringVar(&path, "wal", "", "the dead broker's device or file")
	c.Flags().BoolVar(&force, "force", false, "do not wait for the end of the broker's session: it is known to be dead")
	return c
}
