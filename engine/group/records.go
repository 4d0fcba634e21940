package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of keys, which say what a record is. The others (3 and up) belong to groups of other types.
const (
	keyOffset0 = 0 // offset commit, from before the one after; read only
	keyOffset  = 1 // offset commit
	keyGroup   = 2 // metadata of a classic group
)

// Versions of values that are written: those that Kafka writes.
const (
	valueOffset       = 3
	valueOffsetExpiry = 1 // the only one with an expiry time; without leader epoch
	valueGroup        = 3
)

// maxString is the longest string that a record can hold.
const maxString = math.MaxInt16

// errRecord is matched by every error about a record that cannot be decoded.
var errRecord = errors.New("group: malformed record")

func appendOffsetKey(dst []byte, group, topic string, partition int32) []byte {
	key := kmsg.OffsetCommitKey{Version: keyOffset, Group: group, Topic: topic, Partition: partition}
	return key.AppendTo(dst)
}

func appendOffsetValue(dst []byte, o offset) []byte {
	v := kmsg.NewOffsetCommitValue()
	v.Version = valueOffset
	v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp = o.offset, o.leaderEpoch, o.metadata, o.commitMillis
	if o.expireMillis >= 0 {
		v.Version, v.ExpireTimestamp = valueOffsetExpiry, o.expireMillis
	}
	return v.AppendTo(dst)
}

func appendGroupKey(dst []byte, group string) []byte {
	key := kmsg.GroupMetadataKey{Version: keyGroup, Group: group}
	return key.AppendTo(dst)
}

func appendGroupValue(dst []byte, g *group, assignment func(m *member) []byte) []byte {
	v := kmsg.NewGroupMetadataValue()
	v.Version = valueGroup
	v.ProtocolType, v.Generation, v.Protocol = g.protocolType, g.generation, g.protocol
	if len(g.order) > 0 {
		v.Leader = &g.leader
	}
	v.CurrentStateTimestamp = g.stateMillis
	for _, m := range g.order {
		vm := kmsg.NewGroupMetadataValueMember()
		vm.MemberID, vm.InstanceID, vm.ClientID, vm.ClientHost = m.id, m.instance, m.clientID, m.clientHost
		vm.RebalanceTimeoutMillis = int32(m.rebalanceTimeout.Milliseconds())
		vm.SessionTimeoutMillis = int32(m.sessionTimeout.Milliseconds())
		vm.Subscription, vm.Assignment = m.metadata(g.protocol), assignment(m)
		v.Members = append(v.Members, vm)
	}
	return v.AppendTo(dst)
}

// recordKey is a decoded key. Topic and partition are of offset commits only. The slices are parts of the input.
type recordKey struct {
	version   int16
	group     []byte
	topic     []byte
	partition int32
}

// decodeKey reads a key. Of versions that belong to other types only the version is read.
func decodeKey(b []byte) (recordKey, error) {
	r := reader{b: b}
	k := recordKey{version: r.int16()}
	switch k.version {
	case keyOffset0, keyOffset:
		k.group, k.topic, k.partition = r.string(false), r.string(false), r.int32()
	case keyGroup:
		k.group = r.string(false)
	default:
		if r.bad || k.version < 0 {
			return k, fmt.Errorf("%w: key of %d bytes", errRecord, len(b))
		}
		return k, nil
	}
	return k, r.end("key", k.version, len(b))
}

// decodeOffsetValue reads versions 0 to 4. The result owns its metadata.
func decodeOffsetValue(b []byte) (offset, error) {
	r := reader{b: b}
	version := r.int16()
	if version < 0 || version > 4 {
		return offset{}, fmt.Errorf("%w: offset value version %d", errRecord, version)
	}
	o := offset{offset: r.int64(), leaderEpoch: -1, expireMillis: -1}
	if version >= 3 {
		o.leaderEpoch = r.int32()
	}
	o.metadata = string(r.string(version >= 4))
	o.commitMillis = r.int64()
	if version == 1 {
		o.expireMillis = r.int64()
	}
	if version >= 4 {
		r.tags() // the topic id
	}
	return o, r.end("offset value", version, len(b))
}

// groupValue is a decoded metadata record. It owns what it holds.
type groupValue struct {
	protocolType string
	generation   int32
	protocol     *string
	leader       *string
	stateMillis  int64 // -1 unknown
	members      []groupValueMember
}

type groupValueMember struct {
	id, clientID, clientHost string
	instance                 *string
	rebalanceMillis          int32 // -1: the session timeout
	sessionMillis            int32
	subscription, assignment []byte
}

// minValueMember is the least that one member takes in any version, which bounds how many there can be.
const minValueMember = 15

// decodeGroupValue reads versions 0 to 4.
func decodeGroupValue(b []byte) (*groupValue, error) {
	r := reader{b: b}
	version := r.int16()
	if version < 0 || version > 4 {
		return nil, fmt.Errorf("%w: group value version %d", errRecord, version)
	}
	compact := version >= 4
	v := &groupValue{protocolType: string(r.string(compact)), generation: r.int32(), stateMillis: -1}
	v.protocol, v.leader = r.nullableString(compact), r.nullableString(compact)
	if version >= 2 {
		v.stateMillis = r.int64()
	}
	n := r.arrayLen(compact, minValueMember)
	if n > 0 {
		v.members = make([]groupValueMember, n)
	}
	for i := range v.members {
		m := &v.members[i]
		m.id = string(r.string(compact))
		if version >= 3 {
			m.instance = r.nullableString(compact)
		}
		m.clientID, m.clientHost = string(r.string(compact)), string(r.string(compact))
		m.rebalanceMillis = -1
		if version >= 1 {
			m.rebalanceMillis = r.int32()
		}
		m.sessionMillis = r.int32()
		m.subscription, m.assignment = r.bytes(compact), r.bytes(compact)
		if compact {
			r.tags()
		}
	}
	if compact {
		r.tags()
	}
	return v, r.end("group value", version, len(b))
}

// reader reads Kafka's primitive types. The first violation makes it bad, and all it returns from then on is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) end(what string, version int16, size int) error {
	if r.bad {
		return fmt.Errorf("%w: %s version %d of %d bytes is cut off or inconsistent", errRecord, what, version, size)
	}
	return nil // bytes behind the end are what a later version added
}

// take returns the next n bytes.
func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || n > 5 || v > 1<<32-1 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// length reads a length field: -1 is null.
func (r *reader) length(compact, short bool) int {
	switch {
	case compact:
		return r.uvarint() - 1
	case short:
		return int(r.int16())
	default:
		return int(r.int32())
	}
}

func (r *reader) string(compact bool) []byte { return r.take(r.length(compact, true)) }

func (r *reader) nullableString(compact bool) *string {
	n := r.length(compact, true)
	if n == -1 {
		return nil
	}
	s := string(r.take(n))
	return &s
}

// bytes returns a copy.
func (r *reader) bytes(compact bool) []byte {
	return append([]byte{}, r.take(r.length(compact, false))...)
}

// arrayLen reads the number of elements, which take at least minSize bytes each.
func (r *reader) arrayLen(compact bool, minSize int) int {
	n := r.length(compact, false)
	if n < 0 || n > len(r.b)/minSize {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

// tags skips tagged fields.
func (r *reader) tags() {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}
