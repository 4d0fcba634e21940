package kraft

import "go.etcd.io/raft/v3"

// A leader whose process ends closes its connections, which its followers see at once; they need not wait for the silence of an election timeout. They
// forget the leader, and one after the other, by rank, they ask the others for their votes. If the leader lives after all, the others still hear of
// it and refuse, and its next heartbeat ends the matter: nothing but a few messages is lost.

// A leader that resigns because it hears no majority may still be heard, so that its followers would wait for their own timeouts after it: it hangs up instead.
//
// An attempt may fail because it came too early: the others had heard of the leader a moment later, and refused. Raft then waits for another election timeout.
// Here who has no leader asks again soon; it is no more than a question (PreVote), and changes nothing as long as the answer is no.

// rankTicks lies between the attempts of two followers, so that the votes are not split.
const rankTicks = 2

// againTicks is how long a voter waits for the answers to its question whether it would be elected, before it asks again.
const againTicks = 4

// leaderGone is told that the connection by which a node sent its raft messages has ended.
func (c *core) leaderGone(node int32) {
	c.call(func() {
		if c.rn.BasicStatus().Lead != raftID(node) || c.rn.BasicStatus().RaftState != raft.StateFollower {
			return
		}
		if err := c.rn.ForgetLeader(); err != nil {
			c.logger.Debug("kraft: leader not forgotten", "cause", err)
			return
		}
		rank := c.rank(raftID(node))
		c.gone.ticks = 1 + rank*rankTicks
		if rank == 0 {
			c.replaceLeader()
		}
	})
}

// rank is the place of this voter among those that could follow a leader, who is none if nobody is meant.
func (c *core) rank(leader uint64) (rank int) {
	for _, id := range c.config().Voters {
		if id < c.id && id != leader {
			rank++
		}
	}
	return rank
}

// replaceLeader is called every tick.
func (c *core) replaceLeader() {
	st := c.rn.BasicStatus()
	if st.RaftState == raft.StatePreCandidate && c.gone.ticks == 0 {
		c.gone.ticks = againTicks + c.rank(raft.None)*rankTicks
	}
	if c.gone.ticks == 0 {
		return
	}
	if c.gone.ticks--; c.gone.ticks > 0 {
		return
	}
	if st.Lead != raft.None || st.RaftState != raft.StateFollower && st.RaftState != raft.StatePreCandidate {
		return
	}
	if err := c.rn.Campaign(); err != nil {
		c.logger.Debug("kraft: campaign", "cause", err)
	}
}
