package verify

import (
	"fmt"
	"sync"
)

// Ledger remembers what was sent and what was acknowledged. Safe for use by many goroutines.
type Ledger struct {
	mu    sync.Mutex
	parts []partitionLedger
}

type partitionLedger struct {
	next       int64           // next sequence to send
	acked      map[int64]int64 // sequence -> offset
	duplicates bool            // are allowed
}

// NewLedger is for a topic of n partitions.
func NewLedger(n int) *Ledger {
	l := &Ledger{parts: make([]partitionLedger, n)}
	for i := range l.parts {
		l.parts[i].acked = make(map[int64]int64)
	}
	return l
}

// AllowDuplicates is for producers that are not idempotent: what they send again because an answer was lost may be in the log twice. It is
// called before the first record.
func (l *Ledger) AllowDuplicates() {
	for i := range l.parts {
		l.parts[i].duplicates = true
	}
}

// Partitions is the number of partitions.
func (l *Ledger) Partitions() int { return len(l.parts) }

// take gives out the next sequence of a partition.
func (l *Ledger) take(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.parts[partition]
	p.next++
	return p.next - 1
}

// acknowledge notes the offset of an acknowledged record.
func (l *Ledger) acknowledge(partition int32, sequence, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parts[partition].acked[sequence] = offset
}

// Counts returns how many records were sent and how many were acknowledged.
func (l *Ledger) Counts() (sent, acked int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.parts {
		sent += l.parts[i].next
		acked += int64(len(l.parts[i].acked))
	}
	return sent, acked
}

// Report is what Check found.
type Report struct {
	Records    int64 // read
	Acked      int64 // acknowledged, all found
	Unacked    int64 // sent, not acknowledged, and found nevertheless: allowed
	Duplicates int64 // found again, where the ledger allows it
	Violations []string
}

// maxViolations bounds what is listed.
const maxViolations = 20

func (r *Report) violate(format string, args ...any) {
	if len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
	}
}

// Err is nil when nothing is wrong.
func (r *Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	return fmt.Errorf("verify: %d violations, the first: %s", len(r.Violations), r.Violations[0])
}

// reader checks one partition's records as they come, in offset order.
type reader struct {
	partition  int32
	ledger     *partitionLedger
	report     *Report
	lastOffset int64
	seen       map[int64]int64 // sequence -> offset, of duplicates the acknowledged one
	at         map[int64]int64 // offset -> sequence; nil unless somebody wants to compare
	highest    int64           // sequence
}

func newReader(partition int32, ledger *partitionLedger, report *Report) *reader {
	return &reader{partition: partition, ledger: ledger, report: report, lastOffset: -1, seen: make(map[int64]int64, ledger.next), highest: -1}
}

func (r *reader) record(offset int64, value []byte) {
	r.report.Records++
	if offset <= r.lastOffset {
		r.report.violate("partition %d: offset %d after offset %d", r.partition, offset, r.lastOffset)
	}
	r.lastOffset = offset
	partition, sequence, err := decode(value)
	switch {
	case err != nil:
		r.report.violate("partition %d offset %d: %v", r.partition, offset, err)
		return
	case partition != r.partition:
		r.report.violate("partition %d offset %d: holds a record sent to partition %d", r.partition, offset, partition)
		return
	case sequence >= r.ledger.next:
		r.report.violate("partition %d offset %d: sequence %d was never sent", r.partition, offset, sequence)
		return
	}
	want, acked := r.ledger.acked[sequence]
	if r.at != nil {
		r.at[offset] = sequence
	}
	r.highest = max(r.highest, sequence)
	if before, twice := r.seen[sequence]; twice {
		if !r.ledger.duplicates {
			r.report.violate("partition %d: sequence %d at offset %d and again at offset %d", r.partition, sequence, before, offset)
		}
		r.report.Duplicates++
		if acked && offset == want {
			r.seen[sequence] = offset
		}
		return
	}
	if sequence < r.highest {
		r.report.violate("partition %d offset %d: sequence %d after sequence %d", r.partition, offset, sequence, r.highest)
	}
	r.seen[sequence] = offset
	if !acked {
		r.report.Unacked++
	}
}

// end checks that nothing acknowledged is missing.
func (r *reader) end() {
	for sequence, offset := range r.ledger.acked {
		found, ok := r.seen[sequence]
		switch {
		case !ok:
			r.report.violate("partition %d: sequence %d, acknowledged at offset %d, is lost", r.partition, sequence, offset)
		case found != offset:
			r.report.violate("partition %d: sequence %d was acknowledged at offset %d and is at offset %d", r.partition, sequence, offset, found)
		default:
			r.report.Acked++
		}
	}
}
