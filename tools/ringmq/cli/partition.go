package cli

import (
	"context"
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/kraft"
)

// offlineWait is how long the active controller may take to answer: longer than an election.
const offlineWait = 10 * time.Second

// partitionCommand looks at partitions by the cluster's metadata.
func (p Program) partitionCommand() *cobra.Command {
	return group("partition", "Look at the partitions of a cluster", p.partitionOffline())
}

// partitionOffline lists what nobody serves, and why: what kafka-topics --describe --unavailable-partitions cannot say.
func (p Program) partitionOffline() *cobra.Command {
	var (
		source sourceFlags
		log    logFlags
	)
	c := &cobra.Command{
		Use: "offline [FILE]", Short: "List the partitions that nobody serves, and why", Args: atMost(1),
		Long: `List the partitions that nobody serves, with the broker that has to come back and the reason. FILE, --s3-url and --override say which cluster: the
properties file of any of its nodes, with controller.quorum.voters and cluster.id. It asks the active controller, so it works without any broker, and not without a
majority of the controllers.

Exit status: 0 none is offline; 1 failed; 2 usage; 3 some are offline.`,
		RunE: func(c *cobra.Command, args []string) error {
			logger, err := log.logger(p.Stderr)
			if err != nil {
				return err
			}
			cfg, dirs, err := p.loadNode(&source, args)
			if err != nil {
				return err
			}
			if dirs.ClusterID == "" {
				return usageError("%s: cluster.id is not set: give it by --override cluster.id=... (log.dirs/meta.properties of any node has it)", c.CommandPath())
			}
			node, leave, err := engine.Visit(c.Context(), cfg, dirs.ClusterID, math.MaxInt32, logger, nil)
			if err != nil {
				return err
			}
			defer leave(c.Context())
			// The controller that was asked first may lag, or be cut off. The active one answers this when a majority has confirmed it, and then the image here shows
			// everything that was decided before the question.
			ctx, cancel := context.WithTimeout(c.Context(), offlineWait)
			defer cancel()
			if _, err := node.Controller().Do(ctx, kmsg.NewPtrDescribeQuorumRequest()); err != nil {
				return fmt.Errorf("no active controller, and what another one says may be old: %w", err)
			}
			return p.listOffline(node.Image())
		},
	}
	source.register(c)
	log.registerQuiet(c)
	return c
}

func (p Program) listOffline(img *kraft.Image) error {
	w := tabwriter.NewWriter(p.Stdout, 0, 8, 2, ' ', 0)
	n := 0
	img.Offline(func(o kraft.Offline) bool {
		if n == 0 {
			fmt.Fprintln(w, "TOPIC\tPARTITION\tBROKER\tREASON")
		}
		n++
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", o.Topic.Name, o.Partition, o.Broker, o)
		return true
	})
	if err := w.Flush(); err != nil {
		return err
	}
	if n > 0 {
		return &exitError{exitRefused, fmt.Errorf("%d of %d partitions are offline", n, img.NumPartitions())}
	}
	fmt.Fprintf(p.Stdout, "all %d partitions are served\n", img.NumPartitions())
	return nil
}
