package group

import (
	"log/slog"
	"slices"
	"time"

	"github.com/ringmq/ringmq/engine/group/consumer"
	"github.com/ringmq/ringmq/engine/group/sharegroup"
)

// SharePartition is a partition whose state at the share coordinator is to be made or deleted.
type SharePartition = sharegroup.Partition

// ShareOptions configures share groups.
type ShareOptions struct {
	// MaxSize is the largest number of members of a group. Default 200.
	MaxSize int
	// Config returns what can be set for each group. It must not block. Default: 45 s, 5 s and 1 s.
	Config func(group string) ShareConfig
	// InitializeRetry is after how long a state that is not there yet is asked for again. Default 30 s.
	InitializeRetry time.Duration
	// Initialize makes the states of partitions, for a state epoch, and Delete removes them. They must not block; done is called once, on any goroutine, with
	// a code for each partition. Needed for share groups only.
	Initialize func(group string, stateEpoch int32, partitions []SharePartition, done func(codes []int16))
	Delete     func(group string, partitions []SharePartition, done func(codes []int16))
}

// ShareConfig is what can be set for each share group.
type ShareConfig struct {
	SessionTimeout     time.Duration
	HeartbeatInterval  time.Duration
	AssignmentInterval time.Duration // between two target assignments, at least
}

func (o ShareOptions) withDefaults() ShareOptions {
	def(&o.MaxSize, 200)
	def(&o.InitializeRetry, 30*time.Second)
	if o.Config == nil {
		o.Config = func(string) ShareConfig { return ShareConfig{45 * time.Second, 5 * time.Second, time.Second} }
	}
	return o
}

// shareGroup is a share group. A name belongs either to one of these or to a group. Guarded by shard.mu.
type shareGroup struct {
	*sharegroup.Group
	s *shard
	saver
	sessions map[string]*timer // by member id
	deleting bool              // it is being deleted, with its states
}

func (s *shard) makeShareGroup(g *sharegroup.Group) *shareGroup {
	return &shareGroup{Group: g, s: s, sessions: make(map[string]*timer)}
}

// shareEnv is what package sharegroup gets to know about the world.
func (t *turn) shareEnv(id string) sharegroup.Env {
	o := t.s.opts
	return sharegroup.Env{
		Now: t.nowMillis(), Topics: o.Consumer.Topics(), MaxSize: o.Share.MaxSize,
		AssignmentInterval: o.Share.Config(id).AssignmentInterval.Milliseconds(), InitializeRetry: o.Share.InitializeRetry.Milliseconds(),
	}
}

// findShare returns a share group, or says why there is none of the name.
func (t *turn) findShare(id string) (*shareGroup, *consumer.Error) {
	if g := t.s.shares[id]; g != nil {
		return g, nil
	}
	if t.s.groups[id] != nil {
		return nil, notFound("Group %s is not a share group.", id)
	}
	return nil, notFound("Group %s not found.", id)
}

// alive starts a member's session anew.
func (g *shareGroup) alive(t *turn, id string) {
	tm := g.sessions[id]
	if tm == nil {
		tm = &timer{fire: func(t *turn) {
			if m := g.Member(id); m != nil && t.s.shares[g.ID] == g {
				t.logf(slog.LevelInfo, "group: member removed, session expired", "group", g.ID, "member", id, "client", m.ClientID, "host", m.ClientHost)
				g.fence(t, m, g.warnNotRecorded)
			}
		}}
		g.sessions[id] = tm
		t.s.memberCount++
	}
	t.setTimer(tm, t.s.opts.Share.Config(g.ID).SessionTimeout)
}

// fence ends a membership. then runs when that is durable, or could not be made so.
func (g *shareGroup) fence(t *turn, m *sharegroup.Member, then func(t *turn, err error)) {
	if tm := g.sessions[m.ID]; tm != nil {
		t.stopTimer(tm)
		delete(g.sessions, m.ID)
		t.s.memberCount--
	}
	env := t.shareEnv(g.ID)
	g.Remove(&env, m)
	g.save(t, then)
}

func (g *shareGroup) warnNotRecorded(t *turn, err error) {
	if err != nil {
		t.logf(slog.LevelWarn, "group: change not recorded yet", "group", g.ID, "partition", g.s.partition, "err", err)
	}
}

// save has then run when all that memory says of the group is in the log.
func (g *shareGroup) save(t *turn, then func(t *turn, err error)) {
	g.saver.save(t, g.Dirty(), g.write, then)
}

func (g *shareGroup) write(t *turn) {
	g.begin()
	records, keys := g.TakeRecords()
	t.append(timed(t, records), func(t *turn, err error) {
		if err != nil {
			g.Unsaved(keys)
		}
		g.end(t, err, func() bool { return t.s.shares[g.ID] == g }, g.write)
	})
}

// initialize has states made, and takes the outcome over. then, which may be nil, is called with the codes when that is recorded.
func (g *shareGroup) initialize(t *turn, list []SharePartition, then func(codes []int16)) {
	if len(list) == 0 {
		return
	}
	s, id, epoch := g.s, g.ID, g.Epoch
	t.reply(func() {
		s.opts.Share.Initialize(id, epoch, list, func(codes []int16) {
			ok := !slices.ContainsFunc(codes, func(code int16) bool { return code != codeNone })
			served := s.serve(func(t *turn) {
				if s.shares[id] != g || g.deleting {
					ok = false
				} else {
					g.Initialized(list, ok, t.nowMillis())
				}
				g.save(t, func(t *turn, err error) {
					g.warnNotRecorded(t, err)
					if then != nil {
						t.reply(func() { then(codes) })
					}
				})
			})
			if served != codeNone && then != nil {
				then(codes)
			}
		})
	})
}

// ShareTopicsDeleted takes topics that are gone out of the share groups.
func (c *Coordinator) ShareTopicsDeleted(gone func(topic [16]byte) bool) {
	c.shards.Each(func(s *shard) {
		s.serve(func(t *turn) {
			for _, g := range s.shares {
				if !g.deleting && g.Forget(gone) {
					g.save(t, g.warnNotRecorded)
				}
			}
		})
	})
}
