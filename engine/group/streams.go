package group

import (
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/streams"
)

// streamsGroup is what makes a group one of Kafka Streams (KIP-1071), of which package streams decides. Guarded by shard.mu.
type streamsGroup struct {
	*streams.Group
	*newer
	delay timer // the first target assignment waits for more members until then
}

func newStreamsGroup(g *group, s *streams.Group) *streamsGroup {
	m := &streamsGroup{Group: s, newer: &newer{kind: typeStreams, protocolType: typeStreams, members: s, timers: make(map[string]*memberTimers)}}
	m.delay.fire = func(t *turn) {
		if g.streams == m {
			env := t.streamsEnv(g.id)
			m.EndDelay(&env)
			g.save(t, g.warnNotRecorded)
		}
	}
	return m
}

// streamsEnv is what package streams gets to know about the world.
func (t *turn) streamsEnv(id string) streams.Env {
	o := t.s.opts
	config := o.Streams.Config(id)
	return streams.Env{
		Now: t.nowMillis(), Topics: o.Consumer.Topics(), MaxSize: o.Streams.MaxSize, MaxBytes: o.MaxGroupBytes,
		AssignmentInterval: config.AssignmentInterval.Milliseconds(), InitialDelay: config.InitialRebalanceDelay.Milliseconds(), Standbys: config.Standbys,
	}
}

// becomeStreams makes the group, which is an empty classic one or was just made, one of Kafka Streams.
func (g *group) becomeStreams(t *turn, s *streams.Group) {
	m := newStreamsGroup(g, s)
	g.leaveClassic(t, m.newer)
	g.streams = m
}

func (g *group) streamsTimers(id string) *memberTimers {
	m := g.streams
	return m.newer.timersOf(id, func(tms *memberTimers) {
		fence := func(why string, still func(sm *streams.Member) bool) func(t *turn) {
			return func(t *turn) {
				if sm := m.Member(id); g.streams == m && sm != nil && still(sm) {
					t.logf(slog.LevelInfo, "group: member removed, "+why, "group", g.id, "member", id, "client", sm.ClientID, "host", sm.ClientHost, "epoch", sm.Epoch)
					g.fenceStreams(t, sm, g.warnNotRecorded)
				}
			}
		}
		tms.session.fire = fence("session expired", func(*streams.Member) bool { return true })
		tms.rebalance.fire = fence("tasks not given up within the rebalance timeout", func(sm *streams.Member) bool { return sm.State == consumer.Unrevoked })
	})
}

// aliveStreams starts a member's session anew.
func (g *group) aliveStreams(t *turn, sm *streams.Member) {
	t.setTimer(&g.streamsTimers(sm.ID).session, g.s.opts.Streams.Config(g.id).SessionTimeout)
}

// awaitRevocation starts or ends the time that a member has to give up tasks.
func (g *group) awaitRevocation(t *turn, sm *streams.Member) {
	if tm := &g.streamsTimers(sm.ID).rebalance; sm.State == consumer.Unrevoked {
		t.setTimer(tm, time.Duration(sm.RebalanceMillis)*time.Millisecond)
	} else {
		t.stopTimer(tm)
	}
}

// followStreams brings timers and counts in line with what a heartbeat did.
func (g *group) followStreams(t *turn, out streams.Outcome) {
	g.recount()
	g.aliveStreams(t, out.Member)
	if out.Moved {
		g.awaitRevocation(t, out.Member)
	}
	if out.Delay > 0 {
		t.setTimer(&g.streams.delay, time.Duration(out.Delay)*time.Millisecond)
	}
}

// fenceStreams removes a member. then runs when that is durable, or could not be made so.
func (g *group) fenceStreams(t *turn, sm *streams.Member, then func(t *turn, err error)) {
	g.stopTimers(t, sm.ID)
	g.streams.Remove(sm)
	g.recount()
	g.save(t, then)
}

// resumeStreams starts the timers of a replayed group.
func (g *group) resumeStreams(t *turn) {
	for _, sm := range g.streams.Members() {
		g.aliveStreams(t, sm)
		g.awaitRevocation(t, sm)
	}
}

// committerStreams is committer for a streams group. One partition that the sender may not commit fails the request.
func (g *group) committerStreams(memberID string, instance *string, epoch int32, commits []commit, transactional bool, version int16) int16 {
	refused, err := g.streams.CheckCommit(memberID, instance, epoch, transactional, version)
	if err != nil {
		return txnMemberCode(err.Code, transactional)
	}
	for i := 0; refused != nil && i < len(commits); i++ {
		if code := refused(commits[i].tp.topic, commits[i].tp.partition); code != codeNone {
			return txnMemberCode(code, transactional)
		}
	}
	return codeNone
}
