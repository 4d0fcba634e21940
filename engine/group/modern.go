package group

import (
	"log/slog"
	"time"

	"github.com/ringmq/ringmq/engine/group/consumer"
)

// modern is what makes a group one of the consumer protocol: its members and their assignments, of which package consumer decides. Guarded
// by shard.mu.
type modern struct {
	*consumer.Group
	*newer
}

func newModern(g *consumer.Group) *modern {
	return &modern{Group: g, newer: &newer{kind: typeConsumer, protocolType: consumerProtocolType, members: g, timers: make(map[string]*memberTimers)}}
}

// env is what package consumer gets to know about the world.
func (t *turn) env(id string) consumer.Env {
	o := t.s.opts
	return consumer.Env{
		Now: t.nowMillis(), Topics: o.Consumer.Topics(), MaxSize: o.Consumer.MaxSize, MaxBytes: o.MaxGroupBytes, Assignors: o.Consumer.Assignors,
		AssignmentInterval: o.Consumer.Config(id).AssignmentInterval.Milliseconds(), InlineAssignment: o.Consumer.InlineAssignment,
	}
}

// become makes the group one of the consumer protocol. Whoever waits in the classic one has to come again.
func (g *group) become(t *turn, c *consumer.Group) {
	m := newModern(c)
	g.leaveClassic(t, m.newer)
	g.modern = m
	for _, cm := range c.Members() {
		g.alive(t, cm)
	}
	g.recount()
}

func (g *group) timersOf(id string) *memberTimers {
	m := g.modern
	return m.newer.timersOf(id, func(tms *memberTimers) {
		fence := func(why string, still func(cm *consumer.Member) bool) func(t *turn) {
			return func(t *turn) {
				if cm := m.Member(id); g.modern == m && cm != nil && still(cm) {
					t.logf(slog.LevelInfo, "group: member removed, "+why, "group", g.id, "member", id, "client", cm.ClientID, "host", cm.ClientHost, "epoch", cm.Epoch)
					g.fence(t, nil, cm)
				}
			}
		}
		always := func(*consumer.Member) bool { return true }
		tms.session.fire = fence("session expired", always)
		tms.rebalance.fire = fence("partitions not given up within the rebalance timeout", func(cm *consumer.Member) bool { return cm.State == consumer.Unrevoked })
		tms.rejoin.fire = fence("no join or sync within the rebalance timeout", func(cm *consumer.Member) bool { return cm.Classic != nil })
	})
}

// alive starts a member's session anew.
func (g *group) alive(t *turn, cm *consumer.Member) {
	session := g.s.opts.Consumer.Config(g.id).SessionTimeout
	if cm.Classic != nil {
		session = time.Duration(cm.Classic.SessionMillis) * time.Millisecond
	}
	t.setTimer(&g.timersOf(cm.ID).session, session)
}

// follow brings timers and counts in line with what a heartbeat or a join did.
func (g *group) follow(t *turn, out consumer.Outcome) {
	if out.Replaced != "" && out.Replaced != out.Member.ID {
		g.stopTimers(t, out.Replaced)
	}
	g.recount()
	g.alive(t, out.Member)
	if !out.Moved || out.Member.Classic != nil {
		return
	}
	if tm := &g.timersOf(out.Member.ID).rebalance; out.Member.State == consumer.Unrevoked {
		t.setTimer(tm, time.Duration(out.Member.RebalanceMillis)*time.Millisecond)
	} else {
		t.stopTimer(tm)
	}
}

// fence removes members. When only classic ones are left, the group becomes a classic one again, if it may. then, which may be nil, runs
// when that is durable, or could not be made so.
func (g *group) fence(t *turn, then func(t *turn, err error), members ...*consumer.Member) {
	for _, cm := range members {
		g.stopTimers(t, cm.ID)
	}
	g.modern.Remove(members...)
	g.recount()
	if then == nil {
		then = g.warnNotRecorded
	}
	if g.mayDowngrade() { // with the epoch as it is: it is the generation that the others have
		g.downgrade(t, then)
		return
	}
	env := t.env(g.id)
	g.modern.Removed(&env)
	g.save(t, then)
}

func (g *group) warnNotRecorded(t *turn, err error) {
	if err != nil {
		t.logf(slog.LevelWarn, "group: change not recorded yet", "group", g.id, "partition", g.s.partition, "err", err)
	}
}

// background begins what takes longer than a request should: expressions are resolved, and large target assignments computed, outside
// of the lock, and taken over in a turn of their own.
func (g *group) background(t *turn, client Client) {
	m, s := g.modern, g.s
	env := t.env(g.id)
	if expressions := m.BeginRefresh(&env, s.opts.Consumer.RegexRefreshInterval.Milliseconds()); len(expressions) > 0 {
		visible := client.MayDescribe
		if visible == nil {
			visible = func(string) bool { return true }
		}
		g.outside(t, m, func() func(*consumer.Env) {
			result := consumer.Resolve(expressions, env.Topics, env.Now, visible)
			return func(env *consumer.Env) { m.EndRefresh(env, result) }
		})
	}
	if m.Due(&env) {
		work, finish := m.Begin(&env)
		g.outside(t, m, func() func(*consumer.Env) {
			targets := work()
			return func(env *consumer.Env) { finish(env, targets) }
		})
	}
}

// outside runs work on the clock's goroutine, and takes its result over.
func (g *group) outside(t *turn, m *modern, work func() (take func(*consumer.Env))) {
	s := g.s
	t.reply(func() {
		s.opts.Clock.AfterFunc(0, func() {
			take := work()
			s.run(func(t *turn) {
				if s.state == shardActive && g.modern == m {
					env := t.env(g.id)
					take(&env)
					g.save(t, g.warnNotRecorded)
				}
			})
		})
	})
}
