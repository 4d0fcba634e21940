package s3stream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/s3stream/streamtest"
	"github.com/ringmq/ringmq/wal"
	"github.com/ringmq/ringmq/wal/waltest"
)

// world is a node with everything around it. The cluster, the bucket and the disk survive its crashes.
type world struct {
	t       testing.TB
	cluster *streamtest.Cluster
	bucket  *s3test.Faults
	disk    *waltest.Disk
	log     *wal.Log
	node    int32
	epoch   int64
	storage *s3stream.Storage
	space   chan struct{} // capacity 1: OnSpace was called

	walOptions func(*wal.Options)
	wrapLog    func(*wal.Log) s3stream.Log
	options    func(*s3stream.Options)
}

var (
	testTimeout = 30 * time.Second
	verbose     = flag.Bool("logs", false, "show the storage's log lines")
)

func newWorld(t testing.TB, diskBytes int64) *world {
	w := &world{t: t, cluster: streamtest.NewCluster(), bucket: s3test.NewFaults(objstore.NewMemory("test"), 1), disk: waltest.New(diskBytes), node: 1}
	return w
}

// start opens the storage on the present disk as the next incarnation of the node.
func (w *world) start() error {
	w.epoch++
	w.space = make(chan struct{}, 1)
	space := w.space
	onSpace := func() {
		select {
		case space <- struct{}{}:
		default:
		}
	}
	level := slog.LevelError + 1
	if *verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: level}))
	wo := wal.Options{Device: w.disk, ClusterID: "c", NodeID: w.node, NodeEpoch: w.epoch, MemoryBytes: 8 << 20, QueueDepth: 4, BlockBytes: 64 << 10,
		Logger: logger, OnSpace: onSpace}
	if w.walOptions != nil {
		w.walOptions(&wo)
	}
	l, err := wal.Open(wo)
	if err != nil {
		return err
	}
	o := s3stream.Options{WAL: l, Bucket: w.bucket, Metadata: w.cluster.Node(w.node, w.epoch), NodeID: w.node, NodeEpoch: w.epoch, ClusterID: "c",
		Logger: logger, OnSpace: onSpace, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond,
		UploadInterval: -1, CompactInterval: -1, StreamCompactInterval: -1, SweepInterval: -1, OrphanInterval: -1}
	if w.epoch%2 == 0 { // every other incarnation has digests
		o.Digest = func(s3stream.StreamID) s3stream.Digest { return &listDigest{} }
	}
	if w.wrapLog != nil {
		o.WAL = w.wrapLog(l)
	}
	if w.options != nil {
		w.options(&o)
	}
	w.log = l
	w.storage, err = s3stream.Open(ctxFor(w.t), o)
	return err
}

func (w *world) mustStart() *world {
	w.t.Helper()
	if err := w.start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.storage != nil {
			w.storage.Close(context.Background(), false)
		}
	})
	return w
}

// tightLog is a Log that shows a smaller memory budget than it has, so that little data makes the storage short of it, and refuses appends at random.
type tightLog struct {
	*wal.Log
	budget int64
	refuse float64 // probability of ErrNoMemory

	mu  sync.Mutex
	rng *rand.Rand
}

func (l *tightLog) Stats() wal.Stats {
	st := l.Log.Stats()
	st.MemoryBudget = l.budget
	return st
}

func (l *tightLog) Append(c wal.Completion, header, payload []byte) (wal.Entry, error) {
	l.mu.Lock()
	no := l.rng.Float64() < l.refuse
	l.mu.Unlock()
	if no {
		return wal.Entry{}, wal.ErrNoMemory
	}
	return l.Log.Append(c, header, payload)
}

// crash kills the process: nothing more of it reaches the metadata or the disk. What was acknowledged to nobody may or may not survive.
func (w *world) crash(seed uint64) {
	w.cluster.Node(w.node, w.epoch+1) // fences the dead one
	at := len(w.disk.History())
	disk := w.disk.Kill(at, waltest.RandomFate(seed), waltest.RandomFate(seed+1), rand.New(rand.NewPCG(seed, 2)))
	w.storage.Close(context.Background(), false)
	w.storage, w.disk = nil, disk
}

// stop is a clean shutdown.
func (w *world) stop() {
	w.t.Helper()
	if err := w.storage.Close(ctxFor(w.t), true); err != nil {
		w.t.Fatal(err)
	}
	w.storage, w.disk = nil, w.disk.Reopen()
}

func ctxFor(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// record is what the model knows of a record.
type record struct {
	first, next, ts int64
	payload         []byte
}

// stream is the naive model of a stream, and its owner: the state is the number of records and a checksum over them.
type stream struct {
	w     *world
	id    s3stream.StreamID
	epoch int64
	s     *s3stream.Stream

	mu        sync.Mutex
	cond      *sync.Cond
	records   []record // appended, in order; some before start
	acked     int      // how many of them are acknowledged
	confirmed int64
	start     int64
	state     state
	frozen    bool // the process is dead: acknowledgements do not count
	life      int  // counts how often the stream was opened
	err       error
}

// state is what checkpoints hold.
type state struct {
	next  int64
	count uint64
	crc   uint32
}

func (s state) apply(r record) state {
	s.next, s.count = r.next, s.count+1
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(r.first))
	binary.LittleEndian.PutUint64(b[8:], uint64(r.next))
	s.crc = crc32.Update(crc32.Update(s.crc, crc32.IEEETable, b[:]), crc32.IEEETable, r.payload)
	return s
}

func (s state) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(s.next))
	b = binary.LittleEndian.AppendUint64(b, s.count)
	return binary.LittleEndian.AppendUint32(b, s.crc)
}

func decodeState(b []byte) state {
	return state{int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint32(b[16:])}
}

func (m *stream) Checkpoint() (int64, []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.next, m.state.encode()
}

func (m *stream) Confirmed(next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if next < m.confirmed {
		m.err = fmt.Errorf("confirmed moved back from %d to %d", m.confirmed, next)
	}
	m.confirmed = next
}

func (w *world) newStream() *stream {
	m := &stream{w: w, id: w.cluster.CreateStream(), epoch: -1}
	m.cond = sync.NewCond(&m.mu)
	return m
}

// listDigest keeps every record.
type listDigest struct{ records []s3stream.Record }

func (d *listDigest) Record(r s3stream.Record) error {
	r.Payload = bytes.Clone(r.Payload)
	d.records = append(d.records, r)
	return nil
}

var digestsUsed atomic.Int64

// open opens the stream with the next epoch and checks what it finds against the model.
func (m *stream) open() error {
	m.epoch++
	return m.openFrom(nil)
}

// openFrom is open at the present epoch; with a source it takes the stream over.
func (m *stream) openFrom(source s3stream.Source) error {
	var got state
	var opened s3stream.Opened
	take := func() { // what is known so far is the owner's state: it may be asked for it as soon as the stream is open
		m.mu.Lock()
		m.state = got
		m.mu.Unlock()
	}
	var digestErr error
	one := func(r s3stream.Record) error {
		if got.next < opened.Start && r.First > got.next && r.First <= opened.Start && r.Next > opened.Start {
			// The checkpoint was carried along, and what lies between it and the start is gone.
			got = m.stateAt(r.First)
		}
		if r.First != got.next {
			return fmt.Errorf("replayed record at %d, want %d", r.First, got.next)
		}
		got = got.apply(record{r.First, r.Next, r.MaxTimestamp, r.Payload})
		take()
		return nil
	}
	replay := s3stream.Replay{
		Opened: func(o s3stream.Opened) error {
			opened = o
			if o.Checkpoint != nil {
				got = decodeState(o.Checkpoint)
				if got.next != o.CheckpointOffset {
					return fmt.Errorf("checkpoint is of offset %d, its state of %d", o.CheckpointOffset, got.next)
				}
			}
			take()
			return nil
		},
		Record: one,
		Digest: func(d s3stream.Digest, from int64) {
			digestsUsed.Add(1)
			for _, r := range d.(*listDigest).records {
				if r.First >= from && digestErr == nil {
					digestErr = one(r)
				}
			}
		},
	}
	var st *s3stream.Stream
	var o s3stream.Opened
	var err error
	if source == nil {
		st, o, err = m.w.storage.OpenStream(ctxFor(m.w.t), m.id, m.epoch, m, replay)
	} else {
		st, o, err = m.w.storage.TakeOverStream(ctxFor(m.w.t), m.id, m.epoch, m, replay, source)
	}
	if digestErr != nil {
		return fmt.Errorf("digest: %w", digestErr)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s = st
	if o.Next != opened.Next {
		return fmt.Errorf("opened %+v, told the replay %+v", o, opened)
	}
	end := int64(0)
	if m.acked > 0 {
		end = m.records[m.acked-1].next
	}
	if o.Next < end {
		return fmt.Errorf("stream %d: next is %d, acknowledged up to %d", m.id, o.Next, end)
	}
	var want state
	n := 0
	for n < len(m.records) && m.records[n].next <= o.Next {
		want = want.apply(m.records[n])
		n++
	}
	if want.next != o.Next {
		return fmt.Errorf("stream %d: next is %d, no record of the model ends there", m.id, o.Next)
	}
	if got.next < o.Start && o.Start == o.Next {
		got = want // as above, with nothing left behind the start
	}
	if got != want {
		return fmt.Errorf("stream %d: state after open is %+v, want %+v (checkpoint at %d)", m.id, got, want, o.CheckpointOffset)
	}
	if o.Start < m.start {
		return fmt.Errorf("stream %d: start is %d, was trimmed to %d", m.id, o.Start, m.start)
	}
	m.start = o.Start
	m.records, m.acked, m.state, m.confirmed, m.frozen = m.records[:n], n, got, o.Next, false
	m.life++
	return nil
}

// stateAt is the state after all records below offset.
func (m *stream) stateAt(offset int64) (s state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.next <= offset {
			s = s.apply(r)
		}
	}
	return s
}

func (m *stream) mustOpen() *stream {
	m.w.t.Helper()
	if err := m.open(); err != nil {
		m.w.t.Fatal(err)
	}
	return m
}

// ack is the Done of one append.
type ack struct {
	m    *stream
	i    int
	life int // of the model's stream when the record was appended
}

func (a ack) Appended(err error) {
	m := a.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen {
		return
	}
	switch {
	case err == nil && a.life != m.life && a.i < m.acked:
		return // told a little late: the stream has been handed over meanwhile, with this record
	case err != nil:
		m.err = errors.Join(m.err, err)
	case a.i != m.acked:
		m.err = fmt.Errorf("record %d acknowledged after %d others", a.i, m.acked)
	case m.confirmed < m.records[a.i].next:
		m.err = fmt.Errorf("record %d acknowledged, confirmed is %d, it ends at %d", a.i, m.confirmed, m.records[a.i].next)
	default:
		m.acked++
	}
	m.cond.Broadcast()
}

// append appends one record of n bytes covering count offsets.
func (m *stream) append(n int, count, ts int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := record{first: m.state.next, next: m.state.next + count, ts: ts, payload: payloadOf(m.id, m.state.next, n)}
	m.records = append(m.records, r)
	err := m.s.Append(s3stream.Record{First: r.first, Next: r.next, MaxTimestamp: r.ts, Payload: r.payload}, ack{m, len(m.records) - 1, m.life})
	if err != nil {
		m.records = m.records[:len(m.records)-1]
		return err
	}
	m.state = m.state.apply(r)
	return nil
}

func (m *stream) mustAppend(n int, count, ts int64) {
	m.w.t.Helper()
	if err := m.append(n, count, ts); err != nil {
		m.w.t.Fatal(err)
	}
}

// payloadOf is recognisable by stream and offset.
func payloadOf(id s3stream.StreamID, first int64, n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(id), uint64(first)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// settle waits until everything is acknowledged.
func (m *stream) settle() {
	m.w.t.Helper()
	stop := context.AfterFunc(ctxFor(m.w.t), func() {
		m.mu.Lock()
		m.err = errors.Join(m.err, errors.New("not acknowledged in time"))
		m.cond.Broadcast()
		m.mu.Unlock()
	})
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.acked < len(m.records) && m.err == nil {
		m.cond.Wait()
	}
	if m.err != nil {
		m.w.t.Fatalf("stream %d: %v", m.id, m.err)
	}
}

// freeze marks the owner as dead.
func (m *stream) freeze() {
	m.mu.Lock()
	m.frozen = true
	m.mu.Unlock()
}

// check compares what a read returned with the model.
func (m *stream) check(from, limit int64, maxBytes int, got []s3stream.Slice) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	pos := from
	i := 0
	for i < len(m.records) && m.records[i].next <= from {
		i++
	}
	total := 0
	for k, s := range got {
		var want []byte
		first := int64(-1)
		next := s.First
		for i < len(m.records) && next < s.Next {
			r := m.records[i]
			if first < 0 {
				first = r.first
			}
			want = append(want, r.payload...)
			next = r.next
			i++
		}
		if first != s.First || next != s.Next {
			return fmt.Errorf("stream %d: slice %d is [%d, %d), the records are [%d, %d)", m.id, k, s.First, s.Next, first, next)
		}
		if k > 0 && s.First != pos {
			return fmt.Errorf("stream %d: slice %d begins at %d, the one before it ends at %d", m.id, k, s.First, pos)
		}
		if k == 0 && (s.First > from || s.Next <= from) {
			return fmt.Errorf("stream %d: the first slice [%d, %d) does not hold offset %d", m.id, s.First, s.Next, from)
		}
		if !bytes.Equal(want, s.Data) {
			return fmt.Errorf("stream %d: [%d, %d): %d bytes differ from the %d that were written", m.id, s.First, s.Next, len(s.Data), len(want))
		}
		if s.Next > limit {
			return fmt.Errorf("stream %d: slice [%d, %d) passes limit %d", m.id, s.First, s.Next, limit)
		}
		pos = s.Next
		total += len(s.Data)
	}
	if total > maxBytes && (len(got) > 1 || got[0].Next != firstNext(m.records, from)) {
		return fmt.Errorf("stream %d: %d bytes, at most %d", m.id, total, maxBytes)
	}
	return nil
}

func firstNext(rs []record, from int64) int64 {
	for _, r := range rs {
		if r.next > from {
			return r.next
		}
	}
	return -1
}

func release(ss []s3stream.Slice) {
	for _, s := range ss {
		s.Mem.Unref()
	}
}

// readAll reads [from, limit) with ReadCold and compares it.
func (m *stream) readAll(from, limit int64, maxBytes int) error {
	for from < limit {
		got, err := m.s.ReadCold(ctxFor(m.w.t), from, limit, maxBytes, true)
		if err != nil {
			return fmt.Errorf("stream %d: read at %d: %w", m.id, from, err)
		}
		err = m.check(from, limit, maxBytes, got)
		if err == nil && len(got) == 0 {
			err = fmt.Errorf("stream %d: nothing at %d, want up to %d", m.id, from, limit)
		}
		if err == nil {
			from = got[len(got)-1].Next
		}
		release(got)
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *stream) mustReadAll() {
	m.w.t.Helper()
	if err := m.readAll(m.s.Start(), m.s.Confirmed(), 1<<20); err != nil {
		m.w.t.Fatal(err)
	}
}
