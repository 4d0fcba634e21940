package kraft

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// appendLoop makes durable what raft hands over, everything that waits with one fdatasync, and then delivers the responses.
// After an error it delivers nothing any more: what was promised to nobody is lost, what was promised is on the disk.
func (c *core) appendLoop(trailing int64) {
	var items []appendItem
	var ok bool
	for {
		if items, ok = c.appends.take(items); !ok {
			return
		}
		if err := c.appendAll(items, trailing); err != nil {
			c.fail(fmt.Errorf("kraft: %w", err))
			return
		}
	}
}

func (c *core) appendAll(items []appendItem, trailing int64) error {
	var group group
	for _, it := range items {
		switch {
		case it.compact != nil:
			if err := c.flush(&group); err != nil {
				return err
			}
			if err := c.log.Compact(it.compact.id, it.compact.conf, trailing, c.status.Load().applied); err != nil {
				return err
			}
		case it.commit != nil:
			if err := c.flush(&group); err != nil {
				return err
			}
			if err := c.log.Commit(it.commit.index); err != nil {
				return err
			}
			close(it.commit.done)
		case !raft.IsEmptySnap(it.msg.GetSnapshot()):
			if err := c.flush(&group); err != nil {
				return err
			}
			if err := c.install(it.msg.GetSnapshot()); err != nil {
				return err
			}
			group.add(it.msg)
		default:
			group.add(it.msg)
		}
	}
	return c.flush(&group)
}

// group is a run of append messages that one write takes.
type group struct {
	hs   *pb.HardState // the last one, nil if none
	ents []*pb.Entry
	msgs []*pb.Message
}

func (g *group) add(m *pb.Message) {
	if m.Term != nil || m.Vote != nil || m.Commit != nil {
		g.hs = &pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}
	}
	if ents := m.GetEntries(); len(ents) > 0 {
		// A new leader's entries replace those at the same and higher indexes.
		for len(g.ents) > 0 && g.ents[len(g.ents)-1].GetIndex() >= ents[0].GetIndex() {
			g.ents = g.ents[:len(g.ents)-1]
		}
		g.ents = append(g.ents, ents...)
	}
	g.msgs = append(g.msgs, m)
}

func (c *core) flush(g *group) error {
	if len(g.msgs) == 0 {
		return nil
	}
	hs := g.hs
	if hs == nil {
		hs = &pb.HardState{}
	}
	if err := c.log.Append(hs, g.ents); err != nil {
		return err
	}
	if len(g.ents) > 0 {
		c.writes.Add(1)
	}
	for _, m := range g.msgs {
		c.respond(m)
	}
	*g = group{}
	return nil
}

// install makes a received snapshot the beginning of the log and of the image.
func (c *core) install(s *pb.Snapshot) error {
	id := snapfile.ID{Index: int64(s.GetMetadata().GetIndex()), Term: int64(s.GetMetadata().GetTerm())}
	c.received.Lock()
	img := c.received.image
	c.received.image = nil
	c.received.Unlock()
	if img == nil || img.Offset() != id.Index || img.Term() != id.Term {
		// Another one has been received meanwhile. The file of this one is there.
		var err error
		if img, err = c.log.Load(id); err != nil {
			return fmt.Errorf("received snapshot: %w", err)
		}
	}
	if err := c.log.Install(id, s.GetMetadata().GetConfState()); err != nil {
		return err
	}
	// Raft hands out no entry behind the snapshot before it has the response to this message.
	c.applies.push(applyItem{install: img})
	c.logger.Info("kraft: snapshot installed", "index", id.Index, "term", id.Term)
	return nil
}
