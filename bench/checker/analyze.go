package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Anomaly is something that no correct broker does.
type Anomaly struct {
	Kind   string // see the package
	Detail string
	Ops    []int64 // that show it
}

func (a Anomaly) String() string {
	return fmt.Sprintf("%s: %s (operations %v)", a.Kind, a.Detail, a.Ops)
}

// Report is what Analyze has found.
type Report struct {
	Anomalies []Anomaly
	// How much was looked at: a history in which little happened says little.
	Ops, Acknowledged, Commits, Aborts, Unknowns, Polled, Final int
}

// Kinds are the kinds that were found, each once.
func (r *Report) Kinds() []string {
	kinds := make(map[string]bool)
	for _, a := range r.Anomalies {
		kinds[a.Kind] = true
	}
	return slices.Sorted(maps.Keys(kinds))
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d operations: %d records acknowledged, %d transactions committed, %d aborted, %d outcomes unknown, %d records polled, %d in the final read: ",
		r.Ops, r.Acknowledged, r.Commits, r.Aborts, r.Unknowns, r.Polled, r.Final)
	if len(r.Anomalies) == 0 {
		b.WriteString("nothing wrong")
		return b.String()
	}
	fmt.Fprintf(&b, "%d anomalies (%s)", len(r.Anomalies), strings.Join(r.Kinds(), ", "))
	for i, a := range r.Anomalies {
		if i == 20 {
			fmt.Fprintf(&b, "\n  and %d more", len(r.Anomalies)-i)
			break
		}
		b.WriteString("\n  " + a.String())
	}
	return b.String()
}

// place is where a record is.
type place struct {
	partition int32
	offset    int64
}

// origin is where a value came from.
type origin struct {
	op   *Op
	sent *Sent
	n    int // how many sends of the client to the partition were before it
}

// analysis is what the steps of Analyze share.
type analysis struct {
	Report
	ops     []*Op
	origins map[int64]origin
	at      map[place]Seen  // every record that anybody saw
	where   map[int64]place // and the other way round, the first place
	// Of the final reads: places, and how far they got in each partition; by whether only committed records were read.
	final [2]map[place]int64
	ends  [2]map[int32]int64
}

// Analyze judges a history. The operations are not changed.
func Analyze(ops []*Op) *Report {
	a := &analysis{ops: ops, origins: make(map[int64]origin), at: make(map[place]Seen), where: make(map[int64]place)}
	for i := range a.final {
		a.final[i], a.ends[i] = make(map[place]int64), make(map[int32]int64)
	}
	a.Ops = len(ops)
	a.collectSends()
	a.collectReads()
	a.checkSends()
	a.checkOrder()
	for _, op := range ops {
		a.checkVisible(op)
		if op.Kind == Txn {
			a.checkWhole(op)
		}
	}
	a.checkPolls()
	a.checkConsumed()
	a.checkCycles()
	slices.SortStableFunc(a.Anomalies, func(x, y Anomaly) int { return cmp.Compare(x.Kind, y.Kind) })
	return &a.Report
}

func (a *analysis) found(kind string, ops []*Op, format string, args ...any) {
	ids := make([]int64, len(ops))
	for i, op := range ops {
		ids[i] = op.ID
	}
	a.Anomalies = append(a.Anomalies, Anomaly{kind, fmt.Sprintf(format, args...), ids})
}

func (a *analysis) collectSends() {
	type lane struct {
		client    int
		partition int32
	}
	count := make(map[lane]int)
	for _, op := range a.ops {
		if op.Outcome == Unknown {
			a.Unknowns++
		}
		if op.Kind == Txn {
			switch op.Outcome {
			case OK:
				a.Commits++
			case Failed:
				a.Aborts++
			}
		}
		for i := range op.Sent {
			s := &op.Sent[i]
			l := lane{op.Client, s.Partition}
			a.origins[s.Value] = origin{op, s, count[l]}
			count[l]++
			if a.promised(op, s) {
				a.Acknowledged++
			}
		}
	}
}

// promised says that a record has to be there for good.
func (a *analysis) promised(op *Op, s *Sent) bool {
	if op.Kind == Txn {
		return op.Outcome == OK
	}
	return s.Outcome == OK
}

func index(committed bool) int {
	if committed {
		return 1
	}
	return 0
}

func (a *analysis) collectReads() {
	for _, op := range a.ops {
		for _, s := range op.Seen {
			at := place{s.Partition, s.Offset}
			if other, ok := a.at[at]; ok && other.Value != s.Value {
				a.found("inconsistent", []*Op{op}, "partition %d has at offset %d the values %d and %d", s.Partition, s.Offset, other.Value, s.Value)
			}
			if other, ok := a.where[s.Value]; ok && other != at {
				a.found("duplicate", []*Op{op}, "value %d is in partition %d at offset %d and in partition %d at offset %d", s.Value, other.partition, other.offset, at.partition, at.offset)
			}
			if _, ok := a.at[at]; !ok {
				a.at[at] = s
			}
			if _, ok := a.where[s.Value]; !ok {
				a.where[s.Value] = at
			}
			if _, ok := a.origins[s.Value]; !ok {
				a.found("inconsistent", []*Op{op}, "value %d in partition %d at offset %d was never sent", s.Value, s.Partition, s.Offset)
			}
			if op.Kind != Last {
				a.Polled++
				continue
			}
			i := index(op.Committed)
			a.final[i][at] = s.Value
			a.ends[i][s.Partition] = max(a.ends[i][s.Partition], s.Offset+1)
			a.Final++
		}
	}
}

// checkSends compares the final reads with what was promised and what was refused.
func (a *analysis) checkSends() {
	for _, op := range a.ops {
		for i := range op.Sent {
			s := &op.Sent[i]
			at, seen := a.where[s.Value]
			if seen && at.partition != s.Partition {
				a.found("inconsistent", []*Op{op}, "value %d was sent to partition %d and is in %d", s.Value, s.Partition, at.partition)
			}
			if s.Outcome == Failed && seen {
				a.found("refused-read", []*Op{op}, "value %d was refused and is in partition %d at offset %d", s.Value, at.partition, at.offset)
			}
			if s.Outcome == OK && s.Offset >= 0 {
				if there, ok := a.at[place{s.Partition, s.Offset}]; ok && there.Value != s.Value {
					a.found("inconsistent", []*Op{op}, "value %d was acknowledged in partition %d at offset %d, where %d is", s.Value, s.Partition, s.Offset, there.Value)
				}
			}
			if !a.promised(op, s) {
				continue
			}
			for k := range a.final {
				if seen && a.final[k][at] == s.Value {
					continue
				}
				reader := [...]string{"all", "committed"}[k]
				if end := a.ends[k][s.Partition]; s.Offset >= end || s.Offset < 0 && !seen && !a.laterSeen(k, op, s) {
					a.found("unseen", []*Op{op}, "value %d, acknowledged in partition %d at offset %d: the final read of %s records ends at %d", s.Value, s.Partition, s.Offset, reader, end)
				} else {
					a.found("lost", []*Op{op}, "value %d, acknowledged in partition %d at offset %d, is not in the final read of %s records", s.Value, s.Partition, s.Offset, reader)
				}
			}
		}
	}
}

// laterSeen says whether a final read has a later record of the same client and partition.
func (a *analysis) laterSeen(k int, op *Op, s *Sent) bool {
	mine := a.origins[s.Value].n
	for at, value := range a.final[k] {
		if o := a.origins[value]; at.partition == s.Partition && o.op != nil && o.op.Client == op.Client && o.n > mine {
			return true
		}
	}
	return false
}

// checkOrder compares the order of a client's records in a partition with the order in which they were sent.
func (a *analysis) checkOrder() {
	type lane struct {
		client    int
		partition int32
	}
	places := slices.SortedFunc(maps.Keys(a.final[0]), comparePlaces)
	last := make(map[lane]origin)
	for _, at := range places {
		o := a.origins[a.final[0][at]]
		if o.op == nil {
			continue
		}
		l := lane{o.op.Client, at.partition}
		if before, ok := last[l]; ok && before.n > o.n {
			a.found("reordered", []*Op{before.op, o.op}, "partition %d has value %d before %d at offset %d", at.partition, before.sent.Value, o.sent.Value, at.offset)
		}
		last[l] = o
	}
}

func comparePlaces(x, y place) int {
	return cmp.Or(cmp.Compare(x.partition, y.partition), cmp.Compare(x.offset, y.offset))
}

// checkVisible judges what a reader of committed records saw.
func (a *analysis) checkVisible(op *Op) {
	if !op.Committed {
		return
	}
	for _, s := range op.Seen {
		from := a.origins[s.Value].op
		switch {
		case from == nil || from.Kind != Txn:
		case from == op:
			a.found("internal", []*Op{op}, "it has read value %d, which it had written and not committed", s.Value)
		case from.Outcome == Failed:
			a.found("aborted-read", []*Op{from, op}, "value %d in partition %d at offset %d", s.Value, s.Partition, s.Offset)
		case op.End > 0 && (from.Decided == 0 || op.End < from.Decided):
			a.found("early-read", []*Op{from, op}, "value %d in partition %d at offset %d", s.Value, s.Partition, s.Offset)
		}
	}
}

// checkWhole wants all of a transaction to be committed, or nothing.
func (a *analysis) checkWhole(op *Op) {
	if op.Outcome != Unknown {
		return // lost, aborted-read
	}
	var in, out []int64
	for i := range op.Sent {
		s := &op.Sent[i]
		at, ok := a.where[s.Value]
		switch {
		case ok && a.final[1][at] == s.Value:
			in = append(in, s.Value)
		case s.Outcome == OK:
			out = append(out, s.Value)
		}
	}
	if len(in) > 0 && len(out) > 0 {
		a.found("partial", []*Op{op}, "values %v are committed, and %v are not", in, out)
	}
}

// checkPolls follows each consumer through each of its assignments.
func (a *analysis) checkPolls() {
	type assignment struct {
		client    int
		session   int64
		partition int32
	}
	type lastSeen struct {
		op     *Op
		offset int64
	}
	sorted := [2]map[int32][]int64{}
	for k := range sorted {
		sorted[k] = make(map[int32][]int64)
		for _, at := range slices.SortedFunc(maps.Keys(a.final[k]), comparePlaces) {
			sorted[k][at.partition] = append(sorted[k][at.partition], at.offset)
		}
	}
	last := make(map[assignment]lastSeen)
	for _, op := range a.ops {
		if op.Kind == Send {
			continue
		}
		for _, s := range op.Seen {
			key := assignment{op.Client, op.Session, s.Partition}
			before, ok := last[key]
			last[key] = lastSeen{op, s.Offset}
			if !ok {
				continue
			}
			if s.Offset <= before.offset {
				a.found("non-monotonic", []*Op{before.op, op}, "client %d got offset %d of partition %d after %d", op.Client, s.Offset, s.Partition, before.offset)
				continue
			}
			offsets := sorted[index(op.Committed)][s.Partition]
			if i, _ := slices.BinarySearch(offsets, before.offset+1); i < len(offsets) && offsets[i] < s.Offset {
				a.found("skipped", []*Op{before.op, op}, "client %d got offset %d of partition %d after %d: %d is between", op.Client, s.Offset, s.Partition, before.offset, offsets[i])
			}
		}
	}
}

// checkConsumed wants every record to be taken by one committed transaction at most.
func (a *analysis) checkConsumed() {
	taken := make(map[place]*Op)
	for _, op := range a.ops {
		if op.Kind != Txn || !op.Consumes || !a.committed(op) {
			continue
		}
		for _, s := range op.Seen {
			at := place{s.Partition, s.Offset}
			if other := taken[at]; other != nil {
				a.found("consumed-twice", []*Op{other, op}, "value %d in partition %d at offset %d", s.Value, s.Partition, s.Offset)
			}
			taken[at] = op
		}
	}
}

// committed says that a transaction is known to be committed: by its client, or by what was read.
func (a *analysis) committed(op *Op) bool {
	if op.Outcome != Unknown {
		return op.Outcome == OK
	}
	return slices.ContainsFunc(op.Sent, func(s Sent) bool {
		at, ok := a.where[s.Value]
		return ok && a.final[1][at] == s.Value
	})
}

// checkCycles looks for transactions that have read from each other in a circle.
func (a *analysis) checkCycles() {
	const (
		fresh = iota
		onPath
		done
	)
	state := make(map[*Op]int)
	var path []*Op
	var visit func(op *Op)
	visit = func(op *Op) {
		state[op] = onPath
		path = append(path, op)
		for _, s := range op.Seen {
			from := a.origins[s.Value].op
			if from == nil || from == op || from.Kind != Txn {
				continue
			}
			switch state[from] {
			case fresh:
				visit(from)
			case onPath:
				a.found("cycle", path[slices.Index(path, from):], "each has read what the next has written")
			}
		}
		path = path[:len(path)-1]
		state[op] = done
	}
	for _, op := range a.ops {
		if op.Kind == Txn && state[op] == fresh {
			visit(op)
		}
	}
}
