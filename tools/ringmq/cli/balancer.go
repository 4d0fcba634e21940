package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/balancer"
)

// clusterFlags say which cluster a command talks to.
type clusterFlags struct {
	servers, controllers string
	client               string // a file of client properties
	timeout              time.Duration
}

func (f *clusterFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.servers, "bootstrap-server", "", "brokers, host:port,...")
	c.Flags().StringVar(&f.controllers, "bootstrap-controller", "", "controllers instead, host:port,...")
	c.Flags().StringVar(&f.client, "command-config", "", "file of Kafka's client properties, for listeners with SSL or SASL: security.protocol, ssl.*, sasl.mechanism, sasl.jaas.config")
	c.Flags().DurationVar(&f.timeout, "timeout", 15*time.Second, "how long to wait for an answer")
}

// ask sends a request to the cluster.
func (f *clusterFlags) ask(c *cobra.Command, req kmsg.Request) (*kraft.BalancerResponse, error) {
	if (f.servers == "") == (f.controllers == "") {
		return nil, usageError("%s: give --bootstrap-server or --bootstrap-controller, one of them", c.CommandPath())
	}
	var addrs []string
	for item := range strings.SplitSeq(f.servers+f.controllers, ",") {
		if item = strings.TrimSpace(item); item != "" {
			addrs = append(addrs, item)
		}
	}
	access, err := accessOf(f.client)
	if err != nil {
		return nil, fmt.Errorf("%s: --command-config: %w", c.CommandPath(), err)
	}
	ctx, cancel := context.WithTimeout(c.Context(), f.timeout)
	defer cancel()
	resp, err := kraft.Ask(ctx, access, addrs, req)
	switch {
	case err == nil:
		return resp, nil
	case errors.Is(err, kraft.ErrNotController):
		return nil, fmt.Errorf("%s: the cluster has no active controller at the moment: is a majority of the controllers running? (%w)", c.CommandPath(), err)
	case resp == nil && f.client == "":
		return nil, fmt.Errorf("%s: no node answered: %w (listeners with SSL or SASL need --command-config)", c.CommandPath(), err)
	case resp == nil:
		return nil, fmt.Errorf("%s: no node answered: %w", c.CommandPath(), err)
	}
	return nil, fmt.Errorf("%s: %w", c.CommandPath(), err)
}

func (f *clusterFlags) state(c *cobra.Command, plan bool) (kraft.BalancerState, error) {
	resp, err := f.ask(c, &kraft.DescribeBalancerRequest{Plan: plan})
	if err != nil {
		return kraft.BalancerState{}, err
	}
	return resp.BalancerState()
}

// balancerCommand shows what the balancer of a running cluster does, and drains brokers.
func (p Program) balancerCommand() *cobra.Command {
	c := group("balancer", "See what moves partitions between brokers, and drain brokers", p.balancerStatus(), p.balancerExplain(), p.balancerPlan(),
		p.balancerDrain("drain", "Have all partitions leave a broker, and none come to it", true), p.balancerDrain("undrain", "Let a broker have partitions again", false))
	c.Long = `See what moves partitions between brokers, and drain brokers. The commands ask the active controller, through any broker or controller. Where
listeners speak SSL or SASL, --command-config names a file of client properties, the same as for Kafka's tools: security.protocol, ssl.truststore.*,
ssl.keystore.*, ssl.endpoint.identification.algorithm, sasl.mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) and sasl.jaas.config. With an authorizer
they need the right to Alter the cluster.`
	return c
}

// show is a command that asks for the state and prints it.
func (p Program) show(use, short, long string, plan bool, check func(*cobra.Command) error, flags func(*cobra.Command), print func(*tabwriter.Writer, kraft.BalancerState), part func(kraft.BalancerState) any) *cobra.Command {
	var (
		cluster clusterFlags
		asJSON  bool
	)
	c := &cobra.Command{
		Use: use, Short: short, Long: long, Args: atMost(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if check != nil {
				if err := check(c); err != nil {
					return err
				}
			}
			state, err := cluster.state(c, plan)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(p.Stdout)
				e.SetIndent("", "  ")
				return e.Encode(part(state))
			}
			w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
			print(w, state)
			return w.Flush()
		},
	}
	cluster.register(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of tables")
	if flags != nil {
		flags(c)
	}
	return c
}

func (p Program) balancerStatus() *cobra.Command {
	return p.show("status", "What the balancer is at, and how far draining brokers are", "", false, nil, nil, printStatus, func(s kraft.BalancerState) any { return s })
}

func (p Program) balancerExplain() *cobra.Command {
	return p.show("explain", "Loads, goals, what the balancer would do now and why", `Show the load of each broker as the active controller knows it, what each goal thinks of it, and what the balancer would move now, or why
it moves nothing. Nothing is changed.`, true, nil, nil, func(w *tabwriter.Writer, s kraft.BalancerState) {
		printLoads(w, s.Plan)
		printGoals(w, s.Plan)
		printMoves(w, s.Plan)
	}, func(s kraft.BalancerState) any { return s.Plan })
}

func (p Program) balancerPlan() *cobra.Command {
	var dry bool
	return p.show("plan", "The moves that the balancer would make now", "", true, func(c *cobra.Command) error {
		if !dry {
			return usageError("%s: the controller carries out its plans by itself (autobalancer.controller.enable); give --dry-run to see what it would do now", c.CommandPath())
		}
		return nil
	}, func(c *cobra.Command) { c.Flags().BoolVar(&dry, "dry-run", false, "only show the plan") },
		func(w *tabwriter.Writer, s kraft.BalancerState) { printMoves(w, s.Plan) }, func(s kraft.BalancerState) any { return s.Plan.Moves })
}

func (p Program) balancerDrain(use, short string, drain bool) *cobra.Command {
	var (
		cluster clusterFlags
		wait    time.Duration
	)
	c := &cobra.Command{
		Use: use + " BROKER", Short: short, Args: exactly(1, "BROKER"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil || id < 0 {
				return usageError("%s: BROKER %q is not a node id", c.CommandPath(), args[0])
			}
			if _, err := cluster.ask(c, &kraft.DrainBrokerRequest{Broker: int32(id), Drain: drain}); err != nil {
				return err
			}
			if !drain {
				fmt.Fprintf(p.Stdout, "broker %d gets partitions again\n", id)
				return nil
			}
			return p.awaitDrained(c, &cluster, int32(id), wait)
		},
	}
	cluster.register(c)
	if drain {
		c.Long = `Have all partitions leave a broker, those of excluded topics too, and none come to it, until "ringmq balancer undrain" or until the broker is
unregistered. The mark outlives restarts of the broker. It works while autobalancer.controller.enable is false, too.`
		c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until no partition is left")
	}
	return c
}

// awaitDrained tells how many partitions a draining broker still leads, and waits for the last to go.
func (p Program) awaitDrained(c *cobra.Command, cluster *clusterFlags, id int32, wait time.Duration) error {
	deadline, told := time.Now().Add(wait), -1
	for {
		state, err := cluster.state(c, false)
		if err != nil {
			return err
		}
		left, waitsFor := 0, ""
		for _, b := range state.Brokers {
			if b.ID != id {
				continue
			}
			left = b.Partitions
			for _, m := range state.UnderWay {
				if m.From == id {
					left++ // led by another broker, which does not serve it yet
				}
			}
			if b.Fenced && left > 0 {
				waitsFor = "; it is fenced: start it, so that it can hand them over"
			}
		}
		if left == 0 {
			fmt.Fprintf(p.Stdout, "broker %d has no partitions\n", id)
			return nil
		}
		if left != told {
			fmt.Fprintf(p.Stdout, "broker %d drains: %d partitions left%s\n", id, left, waitsFor)
			told = left
		}
		if wait == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: broker %d still has %d partitions after %v%s; \"ringmq balancer explain\" says why", c.CommandPath(), id, left, wait, waitsFor)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-c.Context().Done():
			return c.Context().Err()
		}
	}
}

func printStatus(w *tabwriter.Writer, s kraft.BalancerState) {
	fmt.Fprintf(w, "controller\t%d (term %d)\n", s.Controller, s.Term)
	fmt.Fprintf(w, "enabled\t%t\n", s.Enabled)
	fmt.Fprintf(w, "state\t%s\n", s.State)
	last := "none since this controller became active"
	if s.SinceRound >= 0 {
		last = fmt.Sprintf("%.1f s ago, one every %.1f s", float64(s.SinceRound)/1000, float64(s.Interval)/1000)
	}
	fmt.Fprintf(w, "last round\t%s\n", last)
	fmt.Fprintf(w, "imbalance then\t%.1f%%\n", 100*s.Imbalance)
	fmt.Fprintf(w, "rounds\t%d\n", s.Rounds)
	fmt.Fprintf(w, "moves\t%d begun, %d done, %d failed, %d under way, %d waiting\n\n", s.Begun, s.Done, s.Failed, len(s.UnderWay), len(s.Waiting))
	fmt.Fprintln(w, "BROKER\tPARTITIONS\tSTATE\tREPORT AGE")
	for _, b := range s.Brokers {
		state := b.Doubt
		switch {
		case b.Fenced:
			state = "fenced"
		case b.Draining && b.Partitions == 0:
			state = "drained"
		case b.Draining:
			state = "draining"
		case b.Slow:
			state = "slow"
		case state == "":
			state = "takes part"
		}
		age := "-"
		if b.ReportAge >= 0 {
			age = fmt.Sprintf("%.1f s", float64(b.ReportAge)/1000)
		}
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\n", b.ID, b.Partitions, state, age)
	}
}

func printLoads(w *tabwriter.Writer, p *balancer.Plan) {
	fmt.Fprintln(w, "BROKER\tSTATE\tPARTITIONS\tIN MiB/s\tOUT MiB/s\tQUERIES/s\tCPU CORES\tWAL FILL\tAPPEND ms\tAFTER THE PLAN: PARTITIONS\tIN\tOUT")
	of := func(m map[string]float64, r balancer.Resource) float64 { return m[r.String()] }
	for _, b := range p.Brokers {
		cpu, wal := fmt.Sprintf("%.2f", of(b.Load, balancer.CPU)), "-"
		if c := of(b.Capacity, balancer.CPU); c > 0 {
			cpu += fmt.Sprintf(" of %.0f", c)
		}
		if c := of(b.Capacity, balancer.WALFill); c > 0 {
			wal = fmt.Sprintf("%.1f%%", 100*of(b.Load, balancer.WALFill)/c)
		}
		const mib = 1 << 20
		fmt.Fprintf(w, "%d\t%s\t%d\t%.2f\t%.2f\t%.0f\t%s\t%s\t%.2f\t%.0f\t%.2f\t%.2f\n", b.ID, b.State, b.Partitions, of(b.Load, balancer.NetworkIn)/mib, of(b.Load, balancer.NetworkOut)/mib,
			of(b.Load, balancer.QueryRate), cpu, wal, float64(b.AppendMicros)/1000, of(b.After, balancer.PartitionCount), of(b.After, balancer.NetworkIn)/mib, of(b.After, balancer.NetworkOut)/mib)
	}
	for _, b := range p.Brokers {
		if b.Why != "" {
			fmt.Fprintf(w, "broker %d is %s: %s\n", b.ID, b.State, b.Why)
		}
	}
	fmt.Fprintln(w)
}

func printGoals(w *tabwriter.Writer, p *balancer.Plan) {
	fmt.Fprintln(w, "GOAL\tAVERAGE\tBAND\tIMBALANCE\tAFTER\tVERDICT")
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
	for _, g := range p.Goals {
		average, band := "-", "-"
		if g.Average > 0 {
			average = strings.TrimSpace(number(g.Average) + " " + g.Unit)
		}
		switch {
		case g.Low > 0:
			band = number(g.Low) + " to " + number(g.High)
		case g.High > 0:
			band = "up to " + number(g.High)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f%%\t%.1f%%\t%s\n", g.Name, average, band, 100*g.Imbalance, 100*g.After, g.Verdict)
	}
	fmt.Fprintln(w)
}

func printMoves(w *tabwriter.Writer, p *balancer.Plan) {
	for _, n := range p.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	if len(p.Moves) == 0 {
		fmt.Fprintln(w, "nothing to move")
		return
	}
	fmt.Fprintln(w, "TOPIC\tPARTITION\tFROM\tTO\tWHY")
	for _, m := range p.Moves {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", m.Topic, m.Partition, m.From, m.To, m.Why)
	}
}
