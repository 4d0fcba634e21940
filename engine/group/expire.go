package group

import (
	"log/slog"
	"time"
)

// ExpireOffsets removes the offsets whose retention has passed, and the groups that are empty and have no offsets left:
//
//	group with members, of consumers, Stable   topics no member subscribes to, retention after the commit
//	group with members, any other              nothing
//	empty group                                everything, retention after the last member left
//	simple group (never had members)           retention after the commit
//	group of a newer protocol                  topics no member subscribes to, retention after the commit
//
// A retention that the client set with the commit counts instead. It works on one group at a time, so that requests get in
// between, and does not wait for the log.
func (c *Coordinator) ExpireOffsets(now time.Time) {
	c.shards.Each(func(s *shard) {
		removed, groups := 0, 0
		s.eachGroup(func(t *turn, g *group) {
			n, whole := g.expire(t, now.UnixMilli())
			removed += n
			if whole {
				groups++
			}
		})
		if removed > 0 || groups > 0 {
			s.opts.Logger.Info("group: expired", "partition", s.partition, "offsets", removed, "groups", groups)
		}
	})
}

// OnTopicsDeleted removes the committed offsets of deleted topics. It does not wait for the log.
func (c *Coordinator) OnTopicsDeleted(names []string) {
	c.shards.Each(func(s *shard) {
		loading := false
		s.run(func(*turn) {
			if loading = s.state == shardLoading; loading {
				s.deleted = append(s.deleted, names...)
			}
		})
		if loading {
			return
		}
		s.eachGroup(func(t *turn, g *group) {
			for _, name := range names {
				g.deleteTopic(t, name)
			}
		})
	})
}

// eachGroup runs fn for each group that is there now, in a turn of its own.
func (s *shard) eachGroup(fn func(t *turn, g *group)) {
	var groups []*group
	s.serve(func(*turn) {
		for _, g := range s.groups {
			groups = append(groups, g)
		}
	})
	for _, g := range groups {
		s.serve(func(t *turn) {
			if s.groups[g.id] == g && !g.deleting {
				fn(t, g)
			}
		})
	}
}

// expire removes what has expired in the group: n offsets, or the whole group.
func (g *group) expire(t *turn, nowMillis int64) (n int, whole bool) {
	expired := g.expired(nowMillis)
	if g.memberless() && len(g.pending) == 0 && len(g.committing) == 0 && len(g.txns) == 0 && len(expired) == g.numOffsets {
		g.removeAll(t, g.warnNotRemoved)
		return len(expired), true
	}
	if len(expired) > 0 {
		g.removeOffsets(t, expired, g.warnNotRemoved)
	}
	return len(expired), false
}

func (g *group) warnNotRemoved(t *turn, err error) {
	if err != nil {
		t.logf(slog.LevelWarn, "group: offsets not removed", "group", g.id, "partition", g.s.partition, "err", err)
	}
}

// expired returns the offsets whose retention has passed.
func (g *group) expired(nowMillis int64) []topicPartition {
	if g.numOffsets == 0 || g.state != empty && (g.state != stable || g.protocolType != consumerProtocolType) {
		return nil
	}
	var subscribed map[string]bool
	if g.state == stable || g.newer != nil {
		topics := make([]string, 0, len(g.offsets))
		for topic := range g.offsets {
			topics = append(topics, topic)
		}
		subscribed = g.subscribed(topics)
	}
	retention := g.s.opts.OffsetsRetention.Milliseconds()
	var expired []topicPartition
	for topic, partitions := range g.offsets {
		if subscribed[topic] {
			continue
		}
		for p, o := range partitions {
			end := o.commitMillis + retention
			if g.state == empty && g.newer == nil && g.protocolType != "" && g.stateMillis >= 0 {
				end = g.stateMillis + retention
			}
			if o.expireMillis >= 0 {
				end = o.expireMillis
			}
			if tp := (topicPartition{topic, p}); nowMillis >= end && g.committing[tp] == 0 {
				expired = append(expired, tp)
			}
		}
	}
	return expired
}

// deleteTopic removes the offsets of a topic.
func (g *group) deleteTopic(t *turn, topic string) {
	if g.deleting {
		return
	}
	var tps []topicPartition
	for p := range g.offsets[topic] {
		tps = append(tps, topicPartition{topic, p})
	}
	for tp := range g.committing {
		if _, ok := g.offsets[topic][tp.partition]; tp.topic == topic && !ok {
			tps = append(tps, tp)
		}
	}
	if len(tps) > 0 {
		g.removeOffsets(t, tps, g.warnNotRemoved)
	}
}
