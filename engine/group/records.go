package group

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/group/wire"
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
	if g.leader != "" {
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
	r := wire.Reader{B: b}
	k := recordKey{version: r.Int16()}
	switch k.version {
	case keyOffset0, keyOffset:
		k.group, k.topic, k.partition = r.String(false), r.String(false), r.Int32()
	case keyGroup:
		k.group = r.String(false)
	default:
		if r.Bad || k.version < 0 {
			return k, fmt.Errorf("%w: key of %d bytes", errRecord, len(b))
		}
		return k, nil
	}
	return k, ended(&r, "key", k.version, len(b))
}

// decodeOffsetValue reads versions 0 to 4. The result owns its metadata.
func decodeOffsetValue(b []byte) (offset, error) {
	r := wire.Reader{B: b}
	version := r.Int16()
	if version < 0 || version > 4 {
		return offset{}, fmt.Errorf("%w: offset value version %d", errRecord, version)
	}
	o := offset{offset: r.Int64(), leaderEpoch: -1, expireMillis: -1}
	if version >= 3 {
		o.leaderEpoch = r.Int32()
	}
	o.metadata = string(r.String(version >= 4))
	o.commitMillis = r.Int64()
	if version == 1 {
		o.expireMillis = r.Int64()
	}
	if version >= 4 {
		r.Tags() // the topic id
	}
	return o, ended(&r, "offset value", version, len(b))
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
	r := wire.Reader{B: b}
	version := r.Int16()
	if version < 0 || version > 4 {
		return nil, fmt.Errorf("%w: group value version %d", errRecord, version)
	}
	compact := version >= 4
	v := &groupValue{protocolType: string(r.String(compact)), generation: r.Int32(), stateMillis: -1}
	v.protocol, v.leader = r.NullableString(compact), r.NullableString(compact)
	if version >= 2 {
		v.stateMillis = r.Int64()
	}
	n := r.ArrayLen(compact, minValueMember)
	if n > 0 {
		v.members = make([]groupValueMember, n)
	}
	for i := range v.members {
		m := &v.members[i]
		m.id = string(r.String(compact))
		if version >= 3 {
			m.instance = r.NullableString(compact)
		}
		m.clientID, m.clientHost = string(r.String(compact)), string(r.String(compact))
		m.rebalanceMillis = -1
		if version >= 1 {
			m.rebalanceMillis = r.Int32()
		}
		m.sessionMillis = r.Int32()
		m.subscription, m.assignment = r.Bytes(compact), r.Bytes(compact)
		if compact {
			r.Tags()
		}
	}
	if compact {
		r.Tags()
	}
	return v, ended(&r, "group value", version, len(b))
}

// ended is the error of a decoder that has read all it knows of.
func ended(r *wire.Reader, what string, version int16, size int) error {
	if r.Bad {
		return fmt.Errorf("%w: %s version %d of %d bytes is cut off or inconsistent", errRecord, what, version, size)
	}
	return nil // bytes behind the end are what a later version added
}
