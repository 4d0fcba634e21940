package streams

import (
	"fmt"
	"strconv"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/wire"
)

// DecodeKey reads a key of one of the kinds. known is false for keys of other records.
func DecodeKey(b []byte) (group string, k changes.Key, known bool, err error) {
	r := wire.Reader{B: b}
	k.Kind = changes.Kind(r.Int16())
	if k.Kind < KindGroup || k.Kind > KindTopology {
		return "", k, false, nil
	}
	if group = string(r.String(false)); perMember(k.Kind) {
		k.ID = string(r.String(false))
	}
	if r.Bad {
		return "", k, true, fmt.Errorf("%w: key of kind %d and %d bytes", ErrRecord, k.Kind, len(b))
	}
	return group, k, true, nil
}

// values is a value of any kind.
type values struct {
	epochs   epochs // of KindGroup; of KindTargets, where hash is the time
	tasks    *Tasks
	member   *Member // of KindMember: what it says of itself; of KindCurrent: what it has
	topology *Topology
}

// decodeValue reads the value of a record; the result owns what it holds.
func decodeValue(kind changes.Kind, b []byte) (values, error) {
	r := wire.Reader{B: b}
	v := values{epochs: epochs{validated: -1, standbys: -1}}
	if version := r.Int16(); version != 0 || r.Bad {
		return v, fmt.Errorf("%w: value of kind %d has version %d", ErrRecord, kind, version)
	}
	switch kind {
	case KindGroup:
		v.epochs = readGroup(&r)
	case KindTargets:
		v.epochs.epoch = r.Int32()
		r.EachTag(func(tag int, field *wire.Reader) {
			if tag == 0 {
				v.epochs.hash = field.Int64()
			}
		})
	case KindTarget:
		v.tasks = readTasks(&r, 0)
		r.Tags()
	case KindMember:
		v.member = readMember(&r)
	case KindCurrent:
		m := &Member{Epoch: r.Int32(), Previous: r.Int32(), State: consumer.State(r.Int8())}
		m.Assigned, m.Revoking = *readTasks(&r, m.Epoch), *readTasks(&r, m.Epoch)
		r.Tags()
		v.member = m
	case KindTopology:
		v.topology = readStoredTopology(&r)
		if !r.Bad && v.topology.finish() != nil {
			r.Bad = true
		}
	}
	if r.Bad {
		return values{}, fmt.Errorf("%w: value of kind %d and %d bytes is cut off or inconsistent", ErrRecord, kind, len(b))
	}
	return v, nil
}

func readGroup(r *wire.Reader) epochs {
	e := epochs{epoch: r.Int32(), hash: r.Int64(), validated: -1, standbys: -1}
	r.EachTag(func(tag int, field *wire.Reader) {
		switch tag {
		case 0:
			e.validated = field.Int32()
		case 1:
			if len(field.B) > 0 && field.B[0] == 0 { // null
				return
			}
			for _, p := range readPairs(field) {
				if n, err := strconv.Atoi(p.Value); err == nil && n >= 0 && p.Key == configStandbys {
					e.standbys = n
				}
			}
		}
	})
	return e
}

func readPairs(r *wire.Reader) []Pair {
	var pairs []Pair
	for n := r.ArrayLen(true, 3); n > 0 && !r.Bad; n-- {
		pairs = append(pairs, Pair{string(r.String(true)), string(r.String(true))})
		r.Tags()
	}
	return pairs
}

// maxPartition bounds the numbers of partitions that a record may name.
const maxPartition = 1 << 20

// readTasks reads tasks of the three roles. Active ones without epochs have the one given.
func readTasks(r *wire.Reader, epoch int32) *Tasks {
	t := new(Tasks)
	for role := range t {
		for n := r.ArrayLen(true, 3); n > 0 && !r.Bad; n-- {
			id := TaskID{Subtopology: string(r.String(true))}
			var partitions []int32
			for k := r.ArrayLen(true, 4); k > 0 && !r.Bad; k-- {
				p := r.Int32()
				if p < 0 || p >= maxPartition {
					r.Bad = true
				}
				partitions = append(partitions, p)
			}
			epochs := make([]int32, len(partitions))
			for i := range epochs {
				epochs[i] = epoch
			}
			r.EachTag(func(tag int, field *wire.Reader) {
				if tag != 0 || len(field.B) > 0 && field.B[0] == 0 { // null
					return
				}
				if k := field.ArrayLen(true, 4); k == len(epochs) {
					for i := range epochs {
						epochs[i] = field.Int32()
					}
				}
			})
			for i, p := range partitions {
				id.Partition = p
				t.add(Role(role), id, epochs[i])
			}
		}
	}
	return t
}

func readMember(r *wire.Reader) *Member {
	m := &Member{Instance: r.NullableString(true), Rack: r.NullableString(true), ClientID: string(r.String(true)), ClientHost: string(r.String(true))}
	m.RebalanceMillis, m.TopologyEpoch, m.Process = r.Int32(), r.Int32(), string(r.String(true))
	if r.Nullable() {
		m.Endpoint = &Endpoint{string(r.String(true)), uint16(r.Int16())}
		r.Tags()
	}
	m.Tags = readPairs(r)
	r.Tags()
	return m
}

func readStoredTopology(r *wire.Reader) *Topology {
	t := &Topology{Epoch: r.Int32()}
	for n := r.ArrayLen(true, 8); n > 0 && !r.Bad; n-- {
		s := Subtopology{ID: string(r.String(true)), Sources: readStrings(r), Regexes: readStrings(r), Changelogs: readInternal(r)}
		s.RepartitionSinks, s.RepartitionSources = readStrings(r), readInternal(r)
		for k := r.ArrayLen(true, 4); k > 0 && !r.Bad; k-- {
			s.Copartitions = append(s.Copartitions, Copartition{readPlaces(r), readPlaces(r), readPlaces(r)})
			r.Tags()
		}
		r.Tags()
		t.Subtopologies = append(t.Subtopologies, s)
	}
	r.Tags()
	return t
}

func readStrings(r *wire.Reader) []string {
	var list []string
	for n := r.ArrayLen(true, 1); n > 0 && !r.Bad; n-- {
		list = append(list, string(r.String(true)))
	}
	return list
}

func readPlaces(r *wire.Reader) []int16 {
	var list []int16
	for n := r.ArrayLen(true, 2); n > 0 && !r.Bad; n-- {
		list = append(list, r.Int16())
	}
	return list
}

func readInternal(r *wire.Reader) []InternalTopic {
	var topics []InternalTopic
	for n := r.ArrayLen(true, 9); n > 0 && !r.Bad; n-- {
		topics = append(topics, InternalTopic{string(r.String(true)), r.Int32(), r.Int16(), readPairs(r)})
		r.Tags()
	}
	return topics
}
