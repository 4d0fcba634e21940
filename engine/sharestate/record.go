package sharestate

import (
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/engine/group/wire"
	"github.com/ringmq/ringmq/engine/share"
)

// Kinds of records: what their keys begin with. FORMAT.md has the layouts.
const (
	kindSnapshot int16 = 0
	kindUpdate   int16 = 1
)

// valueVersion is the one version of values.
const valueVersion = 0

// notWritten is a start offset that an update leaves as it is, and a number of deliveries that is not known.
const notWritten = -1

// ErrRecord is matched by every error about a record that cannot be decoded.
var ErrRecord = errors.New("sharestate: malformed record")

// state is what is known of a partition.
type state struct {
	snapshotEpoch int32 // grows with every snapshot
	stateEpoch    int32
	leaderEpoch   int32
	start         int64 // -1: nobody has read yet
	complete      int32 // offsets from start on that are done; -1: not known
	createMillis  int64 // of the snapshot
	writeMillis   int64 // when it was written, or written again
	batches       []share.Batch
}

// merged is the state after an update.
func (s state) merged(u *state) state {
	if u.start != notWritten {
		s.start = u.start
	}
	if u.leaderEpoch != notWritten {
		s.leaderEpoch = u.leaderEpoch
	}
	s.complete = u.complete
	s.batches = share.Combine(s.batches, u.batches, s.start)
	return s
}

func appendKey(dst []byte, kind int16, k Key) []byte {
	dst = wire.AppendShortString(wire.AppendInt16(dst, kind), k.Group)
	return wire.AppendInt32(append(dst, k.Topic[:]...), k.Partition)
}

// decodeKey reads a key. known is false for keys of other kinds.
func decodeKey(b []byte) (k Key, kind int16, known bool, err error) {
	r := wire.Reader{B: b}
	if kind = r.Int16(); !r.Bad && kind != kindSnapshot && kind != kindUpdate {
		return k, kind, false, nil
	}
	k.Group = string(r.String(false))
	k.Topic, k.Partition = r.UUID(), r.Int32()
	if r.Bad || len(r.B) > 0 || k.Partition < 0 {
		return k, kind, true, fmt.Errorf("%w: key of %d bytes", ErrRecord, len(b))
	}
	return k, kind, true, nil
}

func appendSnapshot(dst []byte, s *state) []byte {
	dst = wire.AppendInt32(wire.AppendInt16(dst, valueVersion), s.snapshotEpoch)
	dst = wire.AppendInt32(wire.AppendInt32(dst, s.stateEpoch), s.leaderEpoch)
	dst = wire.AppendInt64(wire.AppendInt64(wire.AppendInt64(dst, s.start), s.createMillis), s.writeMillis)
	return appendComplete(appendBatches(dst, s.batches), s.complete)
}

func appendUpdate(dst []byte, s *state) []byte {
	dst = wire.AppendInt32(wire.AppendInt16(dst, valueVersion), s.snapshotEpoch)
	dst = wire.AppendInt64(wire.AppendInt32(dst, s.leaderEpoch), s.start)
	return appendComplete(appendBatches(dst, s.batches), s.complete)
}

func appendBatches(dst []byte, batches []share.Batch) []byte {
	dst = wire.AppendLen(dst, len(batches))
	for _, b := range batches {
		dst = wire.AppendInt64(wire.AppendInt64(dst, b.First), b.Last)
		dst = append(wire.AppendInt16(append(dst, byte(b.State)), b.Deliveries), 0)
	}
	return dst
}

// appendComplete ends a value with its tagged fields.
func appendComplete(dst []byte, complete int32) []byte {
	if complete == notWritten {
		return append(dst, 0)
	}
	return wire.AppendTag(append(dst, 1), 0, wire.AppendInt32(nil, complete))
}

// batchBytes is the size of a batch in a value.
const batchBytes = 20

// decodeValue reads the value of a record; the result owns what it holds.
func decodeValue(kind int16, b []byte) (*state, error) {
	r := wire.Reader{B: b}
	if version := r.Int16(); version != valueVersion || r.Bad {
		return nil, fmt.Errorf("%w: value of kind %d has version %d", ErrRecord, kind, version)
	}
	s := &state{snapshotEpoch: r.Int32(), complete: notWritten}
	if kind == kindSnapshot {
		s.stateEpoch, s.leaderEpoch, s.start = r.Int32(), r.Int32(), r.Int64()
		s.createMillis, s.writeMillis = r.Int64(), r.Int64()
	} else {
		s.leaderEpoch, s.start = r.Int32(), r.Int64()
	}
	for n := r.ArrayLen(true, batchBytes); n > 0 && !r.Bad; n-- {
		x := share.Batch{First: r.Int64(), Last: r.Int64(), State: share.State(r.Int8()), Deliveries: r.Int16()}
		r.Tags()
		if x.First < 0 || x.Last < x.First {
			r.Bad = true
		}
		s.batches = append(s.batches, x)
	}
	r.EachTag(func(tag int, field *wire.Reader) {
		if tag == 0 {
			s.complete = field.Int32()
		}
	})
	if r.Bad || len(r.B) > 0 {
		return nil, fmt.Errorf("%w: value of kind %d and %d bytes is cut off or inconsistent", ErrRecord, kind, len(b))
	}
	if kind == kindSnapshot {
		s.batches = share.Combine(nil, s.batches, s.start)
	}
	return s, nil
}
