package cleaner

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ringmq/ringmq/engine/kproto"
)

// book is a log in memory, and the index of its aborted transactions.
type book struct {
	batches []kproto.Batch
	next    int64
	index   []Aborted
	begun   map[int64]int64 // first offset of each producer's open transaction
}

func (k *book) append(b kproto.Batch) {
	b = append(kproto.Batch(nil), b...)
	b.SetBaseOffset(k.next)
	b.SetLeaderEpoch(5)
	k.batches = append(k.batches, b)
	k.next = b.LastOffset() + 1
}

func (k *book) mark(producer int64, commit bool) {
	var bb kproto.BatchBuilder
	bb.SetProducer(producer, 0, -1, true)
	bb.SetControl()
	kind := byte(controlAbort)
	if commit {
		kind = controlCommit
	} else if first, ok := k.begun[producer]; ok {
		k.index = append(k.index, Aborted{producer, first, k.next})
	}
	delete(k.begun, producer)
	bb.Add(1000+k.next, []byte{0, 0, 0, kind}, make([]byte, 6), nil)
	k.append(bb.Bytes())
}

// clean compacts from dirty on, with a map of so many bytes, and returns what was done.
func (k *book) clean(dirty int64, mapBytes int64, o Options) (Stats, int64, []Aborted, error) {
	m, err := NewOffsetMap(mapBytes, k.next, 0.9)
	if err != nil {
		return Stats{}, 0, nil, err
	}
	defer m.Close()
	build := NewBuilder(m, dirty, k.index)
	for _, b := range k.batches {
		if b.LastOffset() < dirty {
			continue
		}
		if more, err := build.Add(b); err != nil {
			return Stats{}, 0, nil, err
		} else if !more {
			break
		}
	}
	o.Map, o.Index = m, k.index
	f := NewFilter(o)
	var out []kproto.Batch
	for _, b := range k.batches {
		if b.BaseOffset() >= m.End() {
			out = append(out, b)
			continue
		}
		f.Mark()
		first, _, err := f.Batch(b, false)
		if err != nil {
			return Stats{}, 0, nil, err
		}
		f.Rewind()
		verdict, thin, err := f.Batch(b, false)
		switch {
		case err != nil || verdict != first:
			return Stats{}, 0, nil, fmt.Errorf("verdict %d, at first %d: %w", verdict, first, err)
		case verdict == Keep:
			out = append(out, b)
		case verdict == Replace:
			if err := thin.Verify(); err != nil {
				return Stats{}, 0, nil, err
			}
			out = append(out, thin)
		}
	}
	k.batches = out
	return f.Stats(), m.End(), f.Forgettable(), nil
}

func (k *book) String() string {
	var s strings.Builder
	for _, b := range k.batches {
		fmt.Fprintf(&s, "%d-%d", b.BaseOffset(), b.LastOffset())
		if b.Codec() != kproto.CodecNone {
			fmt.Fprintf(&s, " %s", b.Codec())
		}
		if b.ProducerID() >= 0 {
			fmt.Fprintf(&s, " producer=%d/%d seq=%d", b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
		}
		if b.IsTransactional() {
			s.WriteString(" txn")
		}
		if h, ok := b.DeleteHorizon(); ok {
			fmt.Fprintf(&s, " horizon=%d", h)
		}
		fmt.Fprintf(&s, " max=%d epoch=%d:", b.MaxTimestamp(), b.PartitionLeaderEpoch())
		var it kproto.RecordIter
		if err := it.Reset(b); err != nil {
			return err.Error()
		}
		n := 0
		for it.Next() {
			n++
			r := it.Record()
			switch {
			case b.IsControl():
				fmt.Fprintf(&s, " marker%d", r.Key[3])
			case r.Key == nil:
				fmt.Fprintf(&s, " %d null=%s", r.Offset, r.Value)
			case r.Value == nil:
				fmt.Fprintf(&s, " %d %s", r.Offset, r.Key)
			default:
				fmt.Fprintf(&s, " %d %s=%s", r.Offset, r.Key, r.Value)
			}
			if r.Timestamp != b.MaxTimestamp() {
				fmt.Fprintf(&s, "@%d", r.Timestamp)
			}
			for _, h := range r.AppendHeaders(nil) {
				fmt.Fprintf(&s, "{%s:%s}", h.Key, h.Value)
			}
		}
		if n == 0 {
			s.WriteString(" (empty)")
		}
		if it.Err() != nil {
			return it.Err().Error()
		}
		s.WriteByte('\n')
	}
	return s.String()
}

// record reads key=value, key (a tombstone) or =value (no key), each with {header:value} behind it if need be.
func addRecord(bb *kproto.BatchBuilder, timestamp int64, text string) {
	text, header, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
	var hs []kproto.Header
	if name, value, ok := strings.Cut(header, ":"); ok {
		hs = []kproto.Header{{Key: []byte(name), Value: []byte(value)}}
	}
	key, value, ok := strings.Cut(text, "=")
	var k, v []byte
	if key != "" {
		k = []byte(key)
	}
	if ok {
		v = []byte(value)
	}
	bb.Add(timestamp, k, v, hs)
}

// TestRules runs the scripts of testdata: log begins a new log; batch, commit and abort append; clean compacts and shows what is left.
func TestRules(t *testing.T) {
	datadriven.Walk(t, "testdata/rules", func(t *testing.T, path string) {
		k := &book{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			number := func(key string, or int64) int64 {
				for _, a := range d.CmdArgs {
					if a.Key == key {
						n, err := strconv.ParseInt(a.Vals[0], 10, 64)
						if err != nil {
							d.Fatalf(t, "%s: %v", key, err)
						}
						return n
					}
				}
				return or
			}
			switch d.Cmd {
			case "log", "append":
				if d.Cmd == "log" {
					*k = book{begun: make(map[int64]int64)}
				}
				for line := range strings.Lines(d.Input) {
					if err := k.line(strings.Fields(line)); err != nil {
						d.Fatalf(t, "%s: %v", line, err)
					}
				}
				return k.String()
			case "forget": // the index of aborted transactions
				k.index = nil
				return ""
			case "clean":
				o := Options{NowMillis: number("now", 5000), DeleteRetentionMillis: number("retention", 100), LogEnd: number("end", k.next)}
				o.MarkerRetentionMillis = o.DeleteRetentionMillis
				if id := number("live", -1); id >= 0 {
					o.Producer = func(asked int64) (Producer, bool) { return Producer{0, number("last", -1)}, asked == id }
				}
				if id := number("indexed", -1); id >= 0 {
					o.Indexed = func(producer, _ int64) bool { return producer == id }
				}
				stats, end, gone, err := k.clean(number("from", 0), number("map", 1<<20), o)
				if err != nil {
					return err.Error() + "\n"
				}
				out := k.String() + fmt.Sprintf("clean up to %d; %d of %d records, %d of %d batches (%d emptied)", end, stats.RecordsKept, stats.Records,
					stats.BatchesKept, stats.Batches, stats.BatchesEmptied)
				if stats.Keyless > 0 {
					out += fmt.Sprintf(", %d without key", stats.Keyless)
				}
				for _, a := range gone {
					out += fmt.Sprintf("\nforgettable: producer %d from %d to %d", a.Producer, a.First, a.Last)
				}
				return out + "\n"
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// line appends what a line of a script says.
func (k *book) line(words []string) error {
	var bb kproto.BatchBuilder
	bb.Reset()
	producer, seq, txn, stamped := int64(-1), int64(-1), false, false
	timestamp := 1000 + k.next
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch key {
		case "codec":
			c, ok := kproto.ParseCodec(value)
			if !ok {
				return fmt.Errorf("no codec %s", value)
			}
			bb.Codec = c
		case "producer":
			producer = n
		case "seq":
			seq = n
		case "txn":
			txn = true
		case "stamped":
			stamped = true
		default:
			addRecord(&bb, timestamp, w)
			timestamp++
		}
	}
	switch words[0] {
	case "batch":
		if producer >= 0 {
			bb.SetProducer(producer, 0, int32(seq), txn)
		}
		if _, open := k.begun[producer]; txn && !open {
			k.begun[producer] = k.next
		}
		b := bb.Bytes()
		if stamped {
			b.SetLogAppendTime(7777)
		}
		k.append(b)
		return nil
	case "commit", "abort":
		k.mark(producer, words[0] == "commit")
		return nil
	}
	return fmt.Errorf("no such line")
}
