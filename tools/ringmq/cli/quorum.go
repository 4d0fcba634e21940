package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringmq/ringmq/engine"
	"github.com/ringmq/ringmq/kraft"
)

// quorumCommand is for the quorum of controllers, beside Kafka's own kafka-metadata-quorum.
func (p Program) quorumCommand() *cobra.Command {
	return group("quorum", "Help a quorum of controllers that cannot help itself", p.quorumRecover())
}

func (p Program) quorumRecover() *cobra.Command {
	var (
		source  sourceFlags
		log     logFlags
		cluster string
		lost    []int32
	)
	c := &cobra.Command{
		Use: "recover [FILE]", Short: "Make a stopped controller the only voter, when the others are lost for good", Args: atMost(1),
		Long: `Make a stopped controller the only voter of the metadata quorum. It is for one case: so many controllers have lost their disks for good that those that
are left are no majority, and so nothing can be changed any more. As long as a majority lives, use kafka-metadata-quorum remove-controller.

FILE, --s3-url and --override are those of the controller, which is stopped. Without --cluster-id and --lost the command only looks, asks the other
voters whether they are there, and changes nothing. With both it writes into the controller's log that it is the only voter.

WARNINGS
  What only the lost controllers had is lost. Of two voters each has everything that was acknowledged; with three and more, choose of those that are left the
  one whose log ends last: highest term first, then highest offset.
  Keep a copy of the metadata directory first.
  Never start a lost controller again with its old directory: two of three such would go on as the quorum that they were. Empty it; then the
  controller starts with controller.quorum.bootstrap.servers, and kafka-metadata-quorum add-controller makes it a voter.
  Stop the brokers before, and start them when the controller runs: they may have seen what is lost.

It refuses while the controller runs, while another voter answers, when the controller is no voter or needs nobody, and when --lost is not who the other voters
are. Interrupted, it can be given again.

Exit status: 0 done, or looked only; 1 failed; 2 usage; 3 refused, nothing was changed.`,
		Example: "  ringmq quorum recover config/controller.properties\n  ringmq quorum recover --cluster-id bGFiLWNsdXN0ZXItMDAwMQ --lost 2 config/controller.properties",
		RunE: func(c *cobra.Command, args []string) error {
			if (cluster == "") != (len(lost) == 0) {
				return usageError("%s: --cluster-id and --lost go together (see %s --help)", c.CommandPath(), c.CommandPath())
			}
			logger, err := log.logger(p.Stderr)
			if err != nil {
				return err
			}
			cfg, dirs, err := p.loadNode(&source, args)
			if err != nil {
				return err
			}
			switch {
			case dirs.ClusterID == "":
				return &exitError{exitRefused, errors.New("the controller's directories have no identity: it has never run")}
			case cluster != "" && cluster != dirs.ClusterID:
				return &exitError{exitRefused, fmt.Errorf("this is a controller of cluster %s, not of %s", dirs.ClusterID, cluster)}
			}
			r, err := engine.RecoverQuorum(c.Context(), cfg.WithClusterID(dirs.ClusterID), lost, logger)
			if r.Lost != nil {
				p.printRecovery(r, dirs.ClusterID)
			}
			switch {
			case errors.Is(err, kraft.ErrRecoveryRefused):
				return &exitError{exitRefused, err}
			case err != nil:
				return err
			case lost != nil:
				fmt.Fprintf(p.Stdout, "done: node %d is the only voter, from offset %d of term %d on; start it, then the brokers\n", r.Node, r.Last, r.Term)
				return nil
			}
			var ids []string
			for _, v := range r.Lost {
				ids = append(ids, fmt.Sprint(v.ID))
			}
			fmt.Fprintf(p.Stdout, "nothing was changed; to make node %d the only voter: --cluster-id %s --lost %s (read the warnings of --help first)\n",
				r.Node, dirs.ClusterID, strings.Join(ids, ","))
			return nil
		},
	}
	source.register(c)
	log.registerQuiet(c)
	c.Flags().StringVar(&cluster, "cluster-id", "", "the cluster's id, as a sign that this is the controller that is meant")
	c.Flags().Int32SliceVar(&lost, "lost", nil, "node ids of all other voters, which are lost for good")
	return c
}

func (p Program) printRecovery(r kraft.QuorumRecovery, cluster string) {
	fmt.Fprintf(p.Stdout, "node %d of cluster %s, %s\n", r.Node, cluster, r.Dir)
	fmt.Fprintf(p.Stdout, "its log ends at offset %d of term %d, %d are known to be committed; %d topics, %d brokers\n", r.Last, r.Term, r.Committed, r.Topics, r.Brokers)
	for _, v := range r.Lost {
		addr := v.Addr
		if addr == "" {
			addr = "address unknown"
		}
		silence := "not asked"
		if v.Silence != nil {
			silence = v.Silence.Error()
		}
		fmt.Fprintf(p.Stdout, "voter %d, %s: %s\n", v.ID, addr, silence)
	}
}
