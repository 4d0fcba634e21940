package record

import (
	"errors"
	"fmt"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// Kind is the type of a record. Values are part of the log's format and never reused.
type Kind uint8

// Kinds of records.
const (
	KindCluster            Kind = 1
	KindBrokerRegistered   Kind = 2
	KindBrokerFenced       Kind = 3
	KindBrokerUnfenced     Kind = 4
	KindBrokerUnregistered Kind = 5
	KindTopicCreated       Kind = 6
	KindPartitionCreated   Kind = 7
	KindPartitionChanged   Kind = 8
	KindTopicDeleted       Kind = 9
	KindConfigSet          Kind = 10
	KindConfigRemoved      Kind = 11
	KindProducerIDs        Kind = 12
	KindStreamOpened       Kind = 13
	KindStreamClosed       Kind = 14
	KindStreamTrimmed      Kind = 15
	KindObjectsPrepared    Kind = 16
	KindObjectsCommitted   Kind = 17
	KindObjectsDestroyed   Kind = 18
	KindObjectsDeleted     Kind = 19
	KindVoterSet           Kind = 24
	KindBrokerDraining     Kind = 28
	KindBrokerWAL          Kind = 31
	KindBrokerRescue       Kind = 32
	KindBrokerFailed       Kind = 33
	KindStreamRewritten    Kind = 40
	KindPartitionMoving    Kind = 20

	// Found in snapshots only: state that the records above reach in several steps.
	KindCounters    Kind = 64
	KindStreamState Kind = 65
	KindObjectState Kind = 66
)

// Errors of decoding.
var (
	// ErrCorrupt: the bytes are not what any version of this package wrote.
	ErrCorrupt = errors.New("record: corrupt")
	// ErrUnknown: the record is of a kind or version newer than this program.
	ErrUnknown = errors.New("record: unknown kind or version")
)

// UnknownError says which kind and version were met. It matches ErrUnknown.
type UnknownError struct {
	Kind    Kind
	Version uint8
}

func (e *UnknownError) Error() string {
	if known, ok := versions[e.Kind]; ok {
		return fmt.Sprintf("record: %v has version %d, this program knows up to %d: upgrade it", e.Kind, e.Version, known)
	}
	return fmt.Sprintf("record: kind %d version %d is not known to this program: upgrade it", e.Kind, e.Version)
}

// Is matches ErrUnknown.
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

// Record is one change of the metadata (or, in a snapshot, one item of it). Implementations are the pointer types of this package.
type Record interface {
	Kind() Kind
	append(dst []byte) []byte
	read(d *wire.Reader)
}

// versions gives the newest version of each kind that this package reads and the only one that it writes.
var versions = map[Kind]uint8{
	KindCluster: 1, KindBrokerRegistered: 1, KindBrokerFenced: 1, KindBrokerUnfenced: 1, KindBrokerUnregistered: 1,
	KindTopicCreated: 1, KindPartitionCreated: 1, KindPartitionChanged: 1, KindTopicDeleted: 1, KindConfigSet: 1, KindConfigRemoved: 1,
	KindProducerIDs: 1, KindStreamOpened: 1, KindStreamClosed: 1, KindStreamTrimmed: 1, KindObjectsPrepared: 1, KindObjectsCommitted: 1,
	KindObjectsDestroyed: 1, KindObjectsDeleted: 1, KindPartitionMoving: 1, KindVoterSet: 1, KindBrokerDraining: 1, KindBrokerWAL: 1, KindBrokerRescue: 1,
	KindBrokerFailed: 1, KindStreamRewritten: 1,
	KindCounters: 1, KindStreamState: 1, KindObjectState: 1,
}

// New returns an empty record of the kind, nil if the kind is not known.
func New(k Kind) Record {
	switch k {
	case KindCluster:
		return &Cluster{}
	case KindBrokerRegistered:
		return &BrokerRegistered{}
	case KindBrokerFenced:
		return &BrokerFenced{}
	case KindBrokerUnfenced:
		return &BrokerUnfenced{}
	case KindBrokerUnregistered:
		return &BrokerUnregistered{}
	case KindTopicCreated:
		return &TopicCreated{}
	case KindPartitionCreated:
		return &PartitionCreated{}
	case KindPartitionChanged:
		return &PartitionChanged{}
	case KindTopicDeleted:
		return &TopicDeleted{}
	case KindConfigSet:
		return &ConfigSet{}
	case KindConfigRemoved:
		return &ConfigRemoved{}
	case KindProducerIDs:
		return &ProducerIDs{}
	case KindStreamOpened:
		return &StreamOpened{}
	case KindStreamClosed:
		return &StreamClosed{}
	case KindStreamTrimmed:
		return &StreamTrimmed{}
	case KindObjectsPrepared:
		return &ObjectsPrepared{}
	case KindObjectsCommitted:
		return &ObjectsCommitted{}
	case KindObjectsDestroyed:
		return &ObjectsDestroyed{}
	case KindObjectsDeleted:
		return &ObjectsDeleted{}
	case KindVoterSet:
		return &VoterSet{}
	case KindBrokerDraining:
		return &BrokerDraining{}
	case KindBrokerWAL:
		return &BrokerWAL{}
	case KindBrokerFailed:
		return &BrokerFailed{}
	case KindBrokerRescue:
		return &BrokerRescue{}
	case KindPartitionMoving:
		return &PartitionMoving{}
	case KindStreamRewritten:
		return &StreamRewritten{}
	case KindCounters:
		return &Counters{}
	case KindStreamState:
		return &StreamState{}
	case KindObjectState:
		return &ObjectStored{}
	}
	return nil
}

// Append appends the record: kind, version, length, body.
func Append(dst []byte, r Record) []byte {
	dst = append(dst, byte(r.Kind()), versions[r.Kind()])
	// The body is written behind room for a one-byte length, which nearly always suffices, and moved when it does not.
	at := len(dst)
	dst = append(dst, 0)
	dst = r.append(dst)
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var prefix [10]byte
	p := wire.AppendUvarint(prefix[:0], uint64(n))
	dst = append(dst, p[1:]...)
	copy(dst[at+len(p):], dst[at+1:at+1+n])
	copy(dst[at:], p)
	return dst
}

// Read decodes the first record of b and returns the number of bytes it takes. The record does not alias b. Errors match ErrCorrupt or
// ErrUnknown.
func Read(b []byte) (Record, int, error) {
	d := wire.NewReader(b)
	k, v := Kind(d.Byte()), d.Byte()
	body := d.Bytes()
	if d.Err() != nil {
		return nil, 0, fmt.Errorf("%w: frame: %w", ErrCorrupt, d.Err())
	}
	r := New(k)
	if r == nil || v > versions[k] {
		return nil, 0, &UnknownError{Kind: k, Version: v}
	}
	if v == 0 {
		return nil, 0, fmt.Errorf("%w: %v has version 0", ErrCorrupt, k)
	}
	f := wire.NewReader(body)
	r.read(f)
	if err := f.Close(); err != nil {
		return nil, 0, fmt.Errorf("%w: %v: %w", ErrCorrupt, k, err)
	}
	return r, len(b) - d.Len(), nil
}

// String is the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindCluster:
		return "Cluster"
	case KindBrokerRegistered:
		return "BrokerRegistered"
	case KindBrokerFenced:
		return "BrokerFenced"
	case KindBrokerUnfenced:
		return "BrokerUnfenced"
	case KindBrokerUnregistered:
		return "BrokerUnregistered"
	case KindTopicCreated:
		return "TopicCreated"
	case KindPartitionCreated:
		return "PartitionCreated"
	case KindPartitionChanged:
		return "PartitionChanged"
	case KindTopicDeleted:
		return "TopicDeleted"
	case KindConfigSet:
		return "ConfigSet"
	case KindConfigRemoved:
		return "ConfigRemoved"
	case KindProducerIDs:
		return "ProducerIDs"
	case KindStreamOpened:
		return "StreamOpened"
	case KindStreamClosed:
		return "StreamClosed"
	case KindStreamTrimmed:
		return "StreamTrimmed"
	case KindObjectsPrepared:
		return "ObjectsPrepared"
	case KindObjectsCommitted:
		return "ObjectsCommitted"
	case KindStreamRewritten:
		return "StreamRewritten"
	case KindObjectsDestroyed:
		return "ObjectsDestroyed"
	case KindObjectsDeleted:
		return "ObjectsDeleted"
	case KindVoterSet:
		return "VoterSet"
	case KindBrokerDraining:
		return "BrokerDraining"
	case KindBrokerWAL:
		return "BrokerWAL"
	case KindBrokerFailed:
		return "BrokerFailed"
	case KindBrokerRescue:
		return "BrokerRescue"
	case KindPartitionMoving:
		return "PartitionMoving"
	case KindCounters:
		return "Counters"
	case KindStreamState:
		return "StreamState"
	case KindObjectState:
		return "ObjectState"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Kinds returns all kinds that this package knows, ascending.
func Kinds() []Kind {
	var ks []Kind
	for k := range 256 {
		if New(Kind(k)) != nil {
			ks = append(ks, Kind(k))
		}
	}
	return ks
}
