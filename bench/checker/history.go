package checker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Outcome is what a client knows of what it asked for.
type Outcome string

// Outcomes of operations and of single sends.
const (
	OK      Outcome = "ok"      // it has happened
	Failed  Outcome = "fail"    // it has not, and will not
	Unknown Outcome = "unknown" // it may have, or may still
)

// Kind is what an operation is.
type Kind string

// Kinds of operations.
const (
	Send Kind = "send" // sends outside of a transaction, each with an outcome of its own
	Txn  Kind = "txn"  // a transaction: sends and reads; ok: committed, fail: aborted
	Poll Kind = "poll" // a consumer's poll
	Last Kind = "last" // a poll of the final read
)

// Sent is a record that was sent.
type Sent struct {
	Partition int32   `json:"p"`
	Value     int64   `json:"v"`
	Outcome   Outcome `json:"o,omitempty"`
	Offset    int64   `json:"at"` // -1: not known
}

// Seen is a record that was read.
type Seen struct {
	Partition int32 `json:"p"`
	Offset    int64 `json:"at"`
	Value     int64 `json:"v"`
}

// Op is an operation from its invocation to its completion.
type Op struct {
	ID     int64 `json:"id"`
	Kind   Kind  `json:"kind"`
	Client int   `json:"client"` // the client instance: sends of one instance to a partition are in order
	// Start and End are nanoseconds of a clock that all clients share; Decided is when a transaction's client first asked for its end.
	Start   int64   `json:"start"`
	Decided int64   `json:"decided,omitempty"`
	End     int64   `json:"end"`
	Outcome Outcome `json:"outcome"`
	Sent    []Sent  `json:"sent,omitempty"`
	Seen    []Seen  `json:"seen,omitempty"`
	// Committed says that only records of committed transactions may be seen. Session is the assignment of the consumer: it changes when the
	// consumer gets other partitions or positions. Consumes says that a transaction has committed the offsets behind what it has seen.
	Committed bool   `json:"committed,omitempty"`
	Session   int64  `json:"session,omitempty"`
	Consumes  bool   `json:"consumes,omitempty"`
	Note      string `json:"note,omitempty"` // errors, for the reader of the history
}

// event is a line of a history. An operation whose completion is missing has an unknown outcome.
type event struct {
	Type string `json:"type"` // invoke, complete
	Op
}

// Recorder writes a history. Its methods may be called from any goroutine.
type Recorder struct {
	mu    sync.Mutex
	w     *bufio.Writer
	next  int64
	begun time.Time
	err   error
}

// NewRecorder writes to w, which stays the caller's. Close flushes.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{w: bufio.NewWriter(w), begun: time.Now()}
}

// Now is the clock of the history.
func (r *Recorder) Now() int64 { return int64(time.Since(r.begun)) + 1 }

// Invoke notes that an operation begins, with what it is going to send, and gives it its number and start.
func (r *Recorder) Invoke(op *Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	op.ID, op.Start, op.Outcome = r.next, r.Now(), Unknown
	r.write("invoke", op)
}

// Complete notes how an operation has ended.
func (r *Recorder) Complete(op *Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	op.End = r.Now()
	r.write("complete", op)
}

func (r *Recorder) write(kind string, op *Op) {
	line, err := json.Marshal(event{kind, *op})
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	r.err = errors.Join(r.err, err)
}

// Close flushes, and returns the first error of writing.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.err, r.w.Flush())
}

// maxLine bounds a line of a history.
const maxLine = 64 << 20

// Read reads a history. A last line that was cut off is left out, as the end of a killed recorder.
func Read(src io.Reader) ([]*Op, error) {
	lines := bufio.NewScanner(src)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	var ops []*Op
	byID := make(map[int64]*Op)
	var broken error
	for n := 1; lines.Scan(); n++ {
		if broken != nil {
			return nil, broken
		}
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			broken = fmt.Errorf("checker: line %d of the history: %w", n, err)
			continue
		}
		op := byID[e.ID]
		switch {
		case e.Type == "invoke" && op == nil:
			op := e.Op
			ops, byID[e.ID] = append(ops, &op), &op
		case e.Type == "complete" && op != nil && op.End == 0:
			*op = e.Op
		default:
			return nil, fmt.Errorf("checker: line %d of the history: %q of operation %d does not fit", n, e.Type, e.ID)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("checker: read history: %w", err)
	}
	return ops, nil
}
