package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// groupDefs are the keys of a group (resource type GROUP). Most are worth group. followed by their name where the group does not set them.
var groupDefs = sync.OnceValue(func() []*Def {
	return []*Def{
		{Name: "consumer.assignment.interval.ms", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Time between two target assignments of the group, at least."},
		{Name: "consumer.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Use: Used, Doc: "Heartbeat interval that members of the group are given."},
		{Name: "consumer.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Use: Used, Doc: "Time without a heartbeat after which a member of the group is removed."},
		{Name: "streams.assignment.interval.ms", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Time between two target assignments of the group, at least."},
		{Name: "streams.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Use: Used, Doc: "Heartbeat interval that members of the group are given."},
		{Name: "streams.initial.rebalance.delay.ms", Type: Int, Default: "3000", check: atLeast(0), Use: Used, Doc: "How long the first assignment of the empty group waits for more members."},
		{Name: "streams.num.standby.replicas", Type: Int, Default: "0", check: atLeast(0), Use: Used, Doc: "Standby tasks of each task with state."},
		{Name: "streams.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Use: Used, Doc: "Time without a heartbeat after which a member of the group is removed."},
		{Name: "share.assignment.interval.ms", Type: Int, Default: "1000", check: atLeast(0), Use: Used, Doc: "Time between two target assignments of the share group, at least."},
		{Name: "share.auto.offset.reset", Type: String, Default: "latest", check: shareResetCheck(), Use: Used, Doc: "Where the share group begins to read a partition."},
		{Name: "share.delivery.count.limit", Type: Int, Default: "5", check: atLeast(2), Use: Used, Doc: "How often a record is delivered to the share group at most."},
		{Name: "share.heartbeat.interval.ms", Type: Int, Default: "5000", check: atLeast(1), Use: Used, Doc: "Heartbeat interval that members of the share group are given."},
		{Name: "share.isolation.level", Type: String, Default: "read_uncommitted", check: oneOf("read_committed", "read_uncommitted"), Use: Used, Doc: "Whether the share group gets records of transactions that are open or aborted."},
		{Name: "share.partition.max.record.locks", Type: Int, Default: "2000", check: atLeast(100), Use: Used, Doc: "Most records of a partition between the first that the share group has not done with and the last that it was given."},
		{Name: "share.record.lock.duration.ms", Type: Int, Default: "30000", check: atLeast(1000), Use: Used, Doc: "How long a member of the share group has a record before it is delivered again."},
		{Name: "share.renew.acknowledge.enable", Type: Boolean, Default: "true", Use: Used, Doc: "Whether a member of the share group may ask for more time."},
		{Name: "share.session.timeout.ms", Type: Int, Default: "45000", check: atLeast(1), Use: Used, Doc: "Time without a heartbeat after which a member of the share group is removed."},
	}
})

// GroupDefs returns all group keys by name. The slice is shared: read only.
func GroupDefs() []*Def { return groupDefs() }

// GroupDef returns the definition of a group key.
func GroupDef(key string) (*Def, bool) {
	i := slices.IndexFunc(groupDefs(), func(d *Def) bool { return d.Name == key })
	if i < 0 {
		return nil, false
	}
	return groupDefs()[i], true
}

// GroupSynonym is the broker key that a group key is worth where the group does not set it. ok is false for keys that only groups have.
func GroupSynonym(key string) (name string, ok bool) {
	name = "group." + key
	_, ok = BrokerDef(name)
	return name, ok
}

// ValidateGroup judges one group key, also against the bounds that the broker's own keys set. The error is an *Error of kind ErrUnknownKey
// or ErrInvalid.
func (c *Config) ValidateGroup(key, value string) error {
	d, ok := GroupDef(key)
	if !ok {
		var names []string
		for _, d := range groupDefs() {
			names = append(names, d.Name)
		}
		return unknownKey(key, "group", names)
	}
	if err := d.Validate(value); err != nil {
		return err
	}
	if _, bounded := GroupSynonym(key); !bounded {
		return nil
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	bound := func(which string, none int64) (int64, string) {
		kind, rest, _ := strings.Cut(key, ".")
		name := "group." + kind + "." + which + "." + strings.TrimPrefix(rest, "num.")
		if text, _, _, ok := c.Lookup(name); ok {
			v, _ := strconv.ParseInt(text, 10, 64)
			return v, name
		}
		return none, name
	}
	if least, name := bound("min", math.MinInt64); n < least {
		return &Error{Kind: ErrInvalid, Key: key, Value: value, Reason: "must be greater than or equal to " + name, Allowed: "at least " + strconv.FormatInt(least, 10)}
	}
	if most, name := bound("max", math.MaxInt64); n > most {
		return &Error{Kind: ErrInvalid, Key: key, Value: value, Reason: "must be less than or equal to " + name, Allowed: "at most " + strconv.FormatInt(most, 10)}
	}
	return nil
}
