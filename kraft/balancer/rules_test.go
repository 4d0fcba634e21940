package balancer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestRules runs testdata/*.
//
//	new                                         an empty cluster and a new Balancer
//	broker id=N [cores=F] [wal=MiB] [fenced] [draining] [excluded] [stale] [slow=MILLIS] [stuck=SECONDS]
//	partitions topic=T n=N on=BROKER [in=MiB] [out=MiB] [queries=F] [cpu=F] [wal=MiB] [excluded] [busy]      each of n partitions has these loads
//	set goals=(A,B) max-moves=N enabled=BOOL
//	round [n=N] [goals]                         N rounds whose moves are carried out; what the last one did, with goals: what each goal says
//	state                                       what each broker carries
func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		r := &rules{}
		datadriven.RunTest(t, path, r.run)
	})
}

type rules struct {
	c    Cluster
	b    *Balancer
	s    Settings
	next int64
}

func (r *rules) run(t *testing.T, d *datadriven.TestData) string {
	number := func(key string) (v float64) {
		if d.HasArg(key) {
			var text string
			d.ScanArgs(t, key, &text)
			if _, err := fmt.Sscan(text, &v); err != nil {
				d.Fatalf(t, "%s: %v", key, err)
			}
		}
		return v
	}
	const mib = 1 << 20
	switch d.Cmd {
	case "new":
		*r = rules{b: New(), s: Defaults()}
		return ""
	case "broker":
		b := Broker{ID: int32(number("id")), Fenced: d.HasArg("fenced"), Draining: d.HasArg("draining"), Excluded: d.HasArg("excluded"), Stale: d.HasArg("stale")}
		b.Capacity[CPU], b.Capacity[WALFill] = number("cores"), number("wal")*mib
		if d.HasArg("slow") {
			b.Append.Appended, b.Append.Samples, b.Append.MedianMicros = true, 10, int64(1000*number("slow"))
		}
		b.Append.PendingMicros = int64(1e6 * number("stuck"))
		r.c.Brokers = slices.DeleteFunc(r.c.Brokers, func(o Broker) bool { return o.ID == b.ID })
		r.c.Brokers = append(r.c.Brokers, b)
		return ""
	case "partitions":
		var topic string
		d.ScanArgs(t, "topic", &topic)
		for i := range int(number("n")) {
			r.next++
			p := Partition{ID: r.next, Topic: topic, Index: int32(i), Leader: int32(number("on")), Excluded: d.HasArg("excluded"), Busy: d.HasArg("busy")}
			p.Load = Load{NetworkIn: number("in") * mib, NetworkOut: number("out") * mib, QueryRate: number("queries"), CPU: number("cpu"), WALFill: number("wal") * mib}
			r.c.Partitions = append(r.c.Partitions, p)
		}
		return ""
	case "set":
		if a, ok := d.Arg("goals"); ok {
			r.s.Goals = nil
			for _, name := range a.Vals {
				g, err := ParseGoal(name)
				if err != nil {
					return err.Error()
				}
				r.s.Goals = append(r.s.Goals, g)
			}
		}
		if d.HasArg("max-moves") {
			r.s.MaxMoves = int(number("max-moves"))
		}
		if d.HasArg("enabled") {
			d.ScanArgs(t, "enabled", &r.s.Enabled)
		}
		return ""
	case "round":
		var p Plan
		for range max(1, int(number("n"))) {
			p = r.b.Round(r.c, r.s)
			moves := p.Moves
			if !r.s.Enabled {
				moves = p.Drains()
			}
			for _, m := range moves {
				i := slices.IndexFunc(r.c.Partitions, func(x Partition) bool { return x.ID == m.ID })
				r.c.Partitions[i].Leader = m.To
			}
		}
		return r.describe(&p, d.HasArg("goals"))
	case "state":
		var out strings.Builder
		m := newModel(r.c, nil, func(int64) bool { return false })
		for i := range m.nodes {
			n := &m.nodes[i]
			fmt.Fprintf(&out, "broker %d: %d partitions, in %s, out %s\n", n.ID, len(n.parts), NetworkIn.format(n.use[NetworkIn]), NetworkOut.format(n.use[NetworkOut]))
		}
		return out.String()
	}
	d.Fatalf(t, "unknown command %s", d.Cmd)
	return ""
}

func (r *rules) describe(p *Plan, goals bool) string {
	var out strings.Builder
	for _, b := range p.Brokers {
		if b.State == "slow" {
			fmt.Fprintf(&out, "broker %d is slow: %s\n", b.ID, b.Why)
		}
	}
	type route struct {
		topic, why string
		from, to   int32
	}
	count := map[route]int{}
	var order []route
	for _, m := range p.Moves {
		k := route{m.Topic, m.Why, m.From, m.To}
		if count[k]++; count[k] == 1 {
			order = append(order, k)
		}
	}
	for _, k := range order {
		fmt.Fprintf(&out, "%s: %d from %d to %d (%s)\n", k.topic, count[k], k.from, k.to, k.why)
	}
	if len(order) == 0 {
		fmt.Fprintln(&out, "no moves")
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&out, "note: %s\n", n)
	}
	if goals {
		for _, g := range p.Goals {
			fmt.Fprintf(&out, "%s: %.0f%% -> %.0f%%: %s\n", g.Name, 100*g.Imbalance, 100*g.After, g.Verdict)
		}
	}
	return out.String()
}
