package image

import "fmt"

// Reason says why a partition is offline.
type Reason string

// The reasons.
const (
	// TailOnWAL: what the broker acknowledged and did not upload is in its write-ahead log only. It ends when the broker comes back with it, or when it is rescued.
	TailOnWAL Reason = "wal"
	// UnderRescue: the same, and a rescue is at work.
	UnderRescue Reason = "rescue"
	// NoLeader: nothing of the partition is in a log; the controller gives it to a live broker as soon as there is one.
	NoLeader Reason = "leader"
)

// Offline is a partition that nobody serves.
type Offline struct {
	Topic     *Topic
	Partition int32
	Broker    int32 // which has to come back
	Reason    Reason
	WAL       [16]byte // where the tail is; zero: not known, or there is none
	Failure   string   // why the broker has ended itself, "" when it has not told that
}

// String is the reason in words.
func (o Offline) String() string {
	if o.Failure != "" {
		return fmt.Sprintf("%s; the broker has ended itself: %s", o.why(), o.Failure)
	}
	return o.why()
}

func (o Offline) why() string {
	log := fmt.Sprintf("broker %d's write-ahead log", o.Broker)
	if o.WAL != [16]byte{} {
		log += fmt.Sprintf(" %x", o.WAL)
	}
	switch o.Reason {
	case TailOnWAL:
		return "tail on " + log
	case UnderRescue:
		return "tail on " + log + ", which is being rescued"
	}
	return fmt.Sprintf("broker %d is fenced; nothing of the partition is on its write-ahead log, and it moves when another broker is live", o.Broker)
}

// LogName is the broker's write-ahead log for a log line.
func (b *Broker) LogName() string {
	if b.WAL == [16]byte{} {
		return "none"
	}
	return fmt.Sprintf("%x", b.WAL)
}

// down says that a broker does not serve.
func (i *Image) down(id int32) bool {
	b := i.Broker(id)
	return b == nil || b.Fenced
}

// whole says that nobody is missing, so that no partition can be offline.
func (i *Image) whole() bool {
	all := true
	i.Brokers(func(b *Broker) bool {
		all = !b.Fenced
		return all
	})
	if !all {
		return false
	}
	i.leads.Scan(func(id int32, _ int32) bool {
		all = i.Broker(id) != nil
		return all
	})
	return all
}

// Offline calls fn for every partition that nobody serves because a broker is away, by topic and number, until it returns false. It looks at every partition, unless
// all brokers are there.
func (i *Image) Offline(fn func(Offline) bool) {
	if i.whole() {
		return
	}
	more := true
	i.Topics(func(t *Topic) bool {
		for n := range t.Partitions {
			if o, off := i.offline(t, int32(n)); off {
				if more = fn(o); !more {
					break
				}
			}
		}
		return more
	})
}

func (i *Image) offline(t *Topic, n int32) (Offline, bool) {
	p := &t.Partitions[n]
	o := Offline{Topic: t, Partition: n, Broker: p.Leader, Reason: NoLeader}
	s, ok := i.Stream(p.StreamID)
	if ok && s.Node >= 0 && !s.Closed && i.down(s.Node) {
		b := i.Broker(s.Node)
		switch {
		case b == nil:
			o.Broker, o.Reason = s.Node, TailOnWAL
			return o, true
		case b.Rescue:
			o.Broker, o.Reason, o.WAL = s.Node, UnderRescue, b.WAL
			return o, true
		case b.WAL != [16]byte{}:
			o.Broker, o.Reason, o.WAL, o.Failure = s.Node, TailOnWAL, b.WAL, b.Failure
			return o, true
		}
	}
	if b := i.Broker(p.Leader); b != nil {
		o.Failure = b.Failure
	}
	return o, i.down(p.Leader)
}

// Tally is how many partitions are offline for one reason because of one broker.
type Tally struct {
	Broker int32
	Reason Reason
}

// CountOffline counts the partitions that nobody serves.
func (i *Image) CountOffline() map[Tally]int {
	counts := make(map[Tally]int)
	i.Offline(func(o Offline) bool {
		counts[Tally{o.Broker, o.Reason}]++
		return true
	})
	return counts
}
