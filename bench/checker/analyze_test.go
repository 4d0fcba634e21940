package checker

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// story is a history that a test makes: a log of one partition, and operations that agree with it until the test changes something.
type story struct {
	ops  []*Op
	time int64
	log  []int64 // values by offset, 0: a marker
}

func (s *story) add(op *Op) *Op {
	op.ID = int64(len(s.ops) + 1)
	s.time += 10
	op.Start, op.End = s.time, s.time+5
	if op.Kind == Txn {
		op.Decided = op.Start + 3
	}
	s.ops = append(s.ops, op)
	return op
}

func (s *story) sends(values []int64) (sent []Sent) {
	for _, v := range values {
		sent = append(sent, Sent{0, v, OK, int64(len(s.log))})
		s.log = append(s.log, v)
	}
	return sent
}

func (s *story) send(client int, values ...int64) *Op {
	return s.add(&Op{Kind: Send, Client: client, Outcome: OK, Sent: s.sends(values)})
}

func (s *story) txn(client int, outcome Outcome, values ...int64) *Op {
	op := s.add(&Op{Kind: Txn, Client: client, Outcome: outcome, Sent: s.sends(values), Committed: true})
	s.log = append(s.log, 0)
	return op
}

// seen are the records from one offset to before another, without those of values.
func (s *story) seen(from, to int, without ...int64) (seen []Seen) {
	for i, v := range s.log[from:to] {
		if v != 0 && !slices.Contains(without, v) {
			seen = append(seen, Seen{0, int64(from + i), v})
		}
	}
	return seen
}

func (s *story) poll(client int, committed bool, seen []Seen) *Op {
	return s.add(&Op{Kind: Poll, Client: client, Outcome: OK, Committed: committed, Session: 1, Seen: seen})
}

// finish reads everything; aborted values are not seen by the reader of committed records.
func (s *story) finish(aborted ...int64) (all, committed *Op) {
	all = s.add(&Op{Kind: Last, Client: 100, Outcome: OK, Seen: s.seen(0, len(s.log))})
	return all, s.add(&Op{Kind: Last, Client: 101, Outcome: OK, Committed: true, Seen: s.seen(0, len(s.log), aborted...)})
}

func drop(op *Op, value int64) {
	op.Seen = slices.DeleteFunc(slices.Clone(op.Seen), func(s Seen) bool { return s.Value == value })
}

// TestPlanted: every kind of anomaly is found in a history that has it, alone, and none in the same history without.
func TestPlanted(t *testing.T) {
	// The whole of it: two idempotent clients, a transaction that commits, one that aborts, one of which nobody knows, a consumer of each kind.
	type parts struct {
		s                                   *story
		one, two, commits, aborts, unclear  *Op
		pollAll, pollCommitted, all, stable *Op
	}
	build := func() parts {
		s := &story{}
		var p parts
		p.s = s
		p.one = s.send(1, 11, 12, 13)         // 0 to 2
		p.two = s.send(2, 21, 22)             // 3, 4
		p.commits = s.txn(3, OK, 31, 32)      // 5, 6, marker 7
		p.aborts = s.txn(4, Failed, 41)       // 8, marker 9
		p.unclear = s.txn(5, Unknown, 51, 52) // 10, 11, marker 12
		s.send(1, 14)                         // 13
		p.commits.Seen, p.commits.Consumes = s.seen(0, 2), true
		p.unclear.Seen, p.unclear.Consumes = s.seen(2, 4), true
		p.pollAll = s.poll(6, false, s.seen(0, 9))
		s.poll(6, false, s.seen(9, 14))
		p.pollCommitted = s.poll(7, true, s.seen(0, 9, 41))
		s.poll(7, true, s.seen(9, 14))
		p.all, p.stable = s.finish(41)
		return p
	}
	everywhere := func(p parts, change func(op *Op)) {
		for _, op := range p.s.ops {
			change(op)
		}
	}
	for _, c := range []struct {
		what  string
		plant func(p parts)
		want  []string
	}{
		{"nothing", func(parts) {}, nil},
		{"an unknown transaction that did not commit", func(p parts) {
			everywhere(p, func(op *Op) {
				if op.Committed && op.Kind != Txn {
					drop(op, 51)
					drop(op, 52)
				}
			})
		}, nil},
		{"an unknown send that is not there", func(p parts) {
			everywhere(p, func(op *Op) { drop(op, 22) })
			p.two.Sent[1].Outcome, p.two.Sent[1].Offset = Unknown, -1
		}, nil},
		{"a new assignment begins anywhere", func(p parts) { p.s.ops[len(p.s.ops)-3].Session, p.pollCommitted.Session = 2, 3 }, nil},
		{"an acknowledged record is gone", func(p parts) { everywhere(p, func(op *Op) { drop(op, 12) }) }, []string{"lost"}},
		{"a record of a committed transaction is gone", func(p parts) { everywhere(p, func(op *Op) { drop(op, 32) }) }, []string{"lost"}},
		{"a record with unknown offset is gone", func(p parts) {
			everywhere(p, func(op *Op) { drop(op, 12) })
			p.one.Sent[1].Offset = -1
		}, []string{"lost"}},
		{"a committed transaction is not seen as committed", func(p parts) {
			everywhere(p, func(op *Op) {
				if op.Committed && op.Kind != Txn {
					drop(op, 31)
					drop(op, 32)
				}
			})
		}, []string{"lost"}},
		{"the final read ends early", func(p parts) { everywhere(p, func(op *Op) { drop(op, 14) }) }, []string{"unseen"}},
		{"a record is there twice", func(p parts) {
			for _, op := range []*Op{p.all, p.stable} {
				op.Seen = append(slices.Clone(op.Seen), Seen{0, 15, 21})
			}
			p.two.Client = 50 // whose only records they are: the order of others stays
			p.two.Sent = p.two.Sent[:1]
			p.s.ops = append(p.s.ops, &Op{ID: 99, Kind: Send, Client: 51, Outcome: OK, Start: 1, End: 2, Sent: []Sent{{0, 22, OK, 4}}})
		}, []string{"duplicate"}},
		{"two values at an offset", func(p parts) {
			p.pollAll.Seen[0].Value = 77
			p.s.ops = append(p.s.ops, &Op{ID: 99, Kind: Send, Client: 51, Outcome: Unknown, Start: 1, End: 2, Sent: []Sent{{0, 77, Unknown, -1}}})
		}, []string{"inconsistent"}},
		{"acknowledged at another's offset", func(p parts) { p.two.Sent[0].Offset = 2 }, []string{"inconsistent"}},
		{"a value that nobody sent", func(p parts) { p.two.Sent = p.two.Sent[:1] }, []string{"inconsistent"}},
		{"another partition", func(p parts) { p.two.Sent[0].Partition, p.two.Sent[0].Offset = 1, -1; p.two.Sent[0].Outcome = Unknown }, []string{"inconsistent"}},
		{"another order", func(p parts) { p.one.Sent[0], p.one.Sent[1] = p.one.Sent[1], p.one.Sent[0] }, []string{"reordered"}},
		{"refused, and there", func(p parts) { p.two.Sent[1].Outcome = Failed }, []string{"refused-read"}},
		{"G1a", func(p parts) { p.pollCommitted.Seen = p.s.seen(0, 9) }, []string{"aborted-read"}},
		{"before the end was asked for", func(p parts) { p.commits.Decided, p.commits.End = p.pollCommitted.End+1, p.pollCommitted.End+2 }, []string{"early-read"}},
		{"never asked to end", func(p parts) { p.unclear.Decided = 0 }, []string{"early-read"}},
		{"a half of a transaction", func(p parts) {
			everywhere(p, func(op *Op) {
				if op.Committed && op.Kind != Txn {
					drop(op, 52)
				}
			})
		}, []string{"partial"}},
		{"its own", func(p parts) { p.unclear.Seen, p.unclear.Consumes = p.s.seen(10, 11), false }, []string{"internal"}},
		{"a circle", func(p parts) {
			p.commits.Seen, p.commits.Consumes = p.s.seen(10, 11), false
			p.unclear.Seen, p.unclear.Consumes = p.s.seen(5, 6), false
			p.commits.End, p.unclear.Decided = 1000, 1 // they ran at the same time
		}, []string{"cycle"}},
		{"taken twice", func(p parts) { p.unclear.Seen = p.s.seen(1, 4) }, []string{"consumed-twice"}},
		{"backwards", func(p parts) { p.pollAll.Seen[1], p.pollAll.Seen[2] = p.pollAll.Seen[2], p.pollAll.Seen[1] }, []string{"non-monotonic", "skipped"}},
		{"again", func(p parts) { p.pollAll.Seen = append(p.pollAll.Seen, p.pollAll.Seen[len(p.pollAll.Seen)-1]) }, []string{"non-monotonic"}},
		{"passed over", func(p parts) { drop(p.pollCommitted, 13) }, []string{"skipped"}},
		{"passed over an aborted one", func(p parts) { drop(p.pollAll, 22) }, []string{"skipped"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := build()
			c.plant(p)
			r := Analyze(p.s.ops)
			if got := r.Kinds(); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v\n%v", got, c.want, r)
			}
		})
	}
}

// A random history of a correct log is clean; taking one record out of what its final readers saw is found.
func TestRandomHistories(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := &story{}
		var aborted, there []int64
		for value := int64(1); value < 60; {
			n := 1 + rng.Int64N(3)
			var values []int64
			for range n {
				values = append(values, value)
				value++
			}
			client := rng.IntN(4)
			switch rng.IntN(4) {
			case 0:
				s.txn(client, Failed, values...)
				aborted = append(aborted, values...)
			case 1:
				s.txn(client, OK, values...)
				there = append(there, values...)
			default:
				s.send(client, values...)
				there = append(there, values...)
			}
			from := rng.IntN(len(s.log))
			s.poll(10+len(s.ops), rng.IntN(2) == 0, nil).Seen = s.seen(from, len(s.log), aborted...)
		}
		for _, op := range s.ops { // those who see only what is committed; the others would see more
			if op.Kind == Poll {
				op.Committed = true
			}
		}
		_, committed := s.finish(aborted...)
		if r := Analyze(s.ops); len(r.Anomalies) > 0 {
			t.Fatalf("seed %d: %v", seed, r)
		}
		drop(committed, there[rng.IntN(len(there))])
		if r := Analyze(s.ops); len(r.Anomalies) == 0 {
			t.Fatalf("seed %d: nothing found", seed)
		}
	}
}

func TestHistoryFile(t *testing.T) {
	var file bytes.Buffer
	rec := NewRecorder(&file)
	one := &Op{Kind: Send, Client: 1, Sent: []Sent{{0, 5, Unknown, -1}}}
	two := &Op{Kind: Txn, Client: 2}
	rec.Invoke(one)
	rec.Invoke(two)
	one.Outcome, one.Sent[0] = OK, Sent{0, 5, OK, 9}
	rec.Complete(one)
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	whole := file.String()
	for _, text := range []string{whole, whole + `{"type":"comp`} {
		ops, err := Read(strings.NewReader(text))
		if err != nil || len(ops) != 2 || ops[0].Outcome != OK || ops[0].Sent[0].Offset != 9 || ops[0].Start >= ops[0].End || ops[1].Outcome != Unknown || ops[1].End != 0 {
			t.Errorf("%+v, %v", ops, err)
		}
	}
	for _, text := range []string{"x\n" + whole, whole + whole, `{"type":"complete","id":7}`} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

// FuzzAnalyze: whatever can be read can be judged.
func FuzzAnalyze(f *testing.F) {
	f.Add(`{"type":"invoke","id":1,"kind":"txn","sent":[{"p":0,"v":1,"at":-1}],"seen":[{"p":0,"at":0,"v":1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if ops, err := Read(strings.NewReader(text)); err == nil {
			_ = Analyze(ops).String()
		}
	})
}
