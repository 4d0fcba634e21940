package group

import (
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/group/changes"
	"github.com/ringmq/ringmq/engine/group/consumer"
)

// Classic groups become consumer groups, and the other way round, while their members consume.

// upgraded is the consumer group that a classic group with members would be.
func (g *group) upgraded(env *consumer.Env) (*consumer.Group, *consumer.Error) {
	refused := func(why string) (*consumer.Group, *consumer.Error) {
		return nil, &consumer.Error{Code: codeGroupIDNotFound, Message: "Cannot upgrade classic group " + g.id + " to consumer group because " + why + "."}
	}
	switch {
	case !g.s.opts.Consumer.MayUpgrade:
		return refused("online upgrade is disabled")
	case g.protocolType != consumer.ProtocolType:
		return refused("the group does not use the consumer embedded protocol")
	case len(g.members) > env.MaxSize:
		return refused("the group size exceeds the consumer group maximum size")
	}
	members := make([]consumer.OldMember, 0, len(g.order))
	for _, m := range g.order {
		o := consumer.OldMember{
			Join: consumer.Join{
				MemberID: m.id, Instance: m.instance, ClientID: m.clientID, Host: m.clientHost,
				SessionMillis: int32(m.sessionTimeout.Milliseconds()), RebalanceMillis: int32(m.rebalanceTimeout.Milliseconds()),
			},
			Subscription: m.metadata(g.protocol), Assignment: m.assignment,
		}
		for _, p := range m.protocols {
			o.Protocols = append(o.Protocols, consumer.Protocol{Name: p.name, Metadata: p.metadata})
		}
		if o.Subscription == nil { // the first rebalance is under way
			o.Subscription = m.protocols[0].metadata
		}
		members = append(members, o)
	}
	return consumer.FromClassic(env, g.id, g.generation, members)
}

// mayDowngrade reports whether only classic members are left of a consumer group, and it may become a classic one.
func (g *group) mayDowngrade() bool {
	m := g.modern
	return g.s.opts.Consumer.MayDowngrade && m.Size() > 0 && m.ClassicSize() == m.Size() && m.Size() <= g.s.opts.MaxSize
}

// downgrade makes a consumer group of classic members a classic one, and has them join it. then runs when that is in the log, or could not
// be put there.
func (g *group) downgrade(t *turn, then func(t *turn, err error)) {
	m, topics := g.modern, t.s.opts.Consumer.Topics()
	g.owed = append(g.owed, timed(t, m.Tombstones())...)
	g.leaveNewer(t)
	g.protocolType, g.generation = consumer.ProtocolType, m.Epoch
	for _, cm := range m.Members() {
		o := &member{
			id: cm.ID, instance: cm.Instance, clientID: cm.ClientID, clientHost: cm.ClientHost,
			sessionTimeout:   time.Duration(cm.Classic.SessionMillis) * time.Millisecond,
			rebalanceTimeout: time.Duration(cm.RebalanceMillis) * time.Millisecond,
			assignment:       cm.ClassicAssignment(topics),
		}
		for _, p := range cm.Classic.Protocols {
			o.protocols = append(o.protocols, protocol{p.Name, p.Metadata})
		}
		g.add(o)
		g.keepAlive(t, o)
	}
	selected := g.selectProtocol()
	g.protocol = &selected
	// Without a leader in the log, who loads it knows that what those who left had is nobody's yet.
	g.leader = ""
	g.setState(t, stable)
	t.logf(slog.LevelInfo, "group: of the classic protocol from now on", "group", g.id, "members", len(g.members), "generation", g.generation)
	g.store(t, (*member).currentAssignment, then)
	g.maybeRebalance(t, "the group is of the classic protocol now")
}

// becomeClassic makes an empty group of a newer protocol a classic one, which somebody joins.
func (g *group) becomeClassic(t *turn) {
	g.owed = append(g.owed, timed(t, g.newer.members.Tombstones())...)
	g.recorded = true // or was, under another key
	g.leaveNewer(t)
	g.setState(t, empty)
}

// resumeModern starts the timers of a replayed group.
func (g *group) resumeModern(t *turn) {
	for _, cm := range g.modern.Members() {
		g.alive(t, cm)
		if cm.Classic == nil && cm.State == consumer.Unrevoked {
			t.setTimer(&g.timersOf(cm.ID).rebalance, time.Duration(cm.RebalanceMillis)*time.Millisecond)
		}
	}
}

// timed makes records of the log out of those of a group of a newer protocol.
func timed(t *turn, records []changes.Record) []Record {
	out := make([]Record, 0, len(records))
	for _, r := range records {
		out = append(out, Record{Key: r.Key, Value: r.Value, Timestamp: t.nowMillis()})
	}
	return out
}
