package kraft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// refused wants RecoverQuorum to refuse for a reason.
func refused(t *testing.T, o Options, lost []int32, why string) {
	t.Helper()
	if r, err := RecoverQuorum(testContext(t), o, lost); !errors.Is(err, ErrRecoveryRefused) || !strings.Contains(err.Error(), why) {
		t.Errorf("recovery with %d lost: %+v, %v; want a refusal that says %q", lost, r, err, why)
	}
}

// TestRecoverQuorum: two of three voters lose their disks. The third goes on alone with everything that it has, and gets new company.
func TestRecoverQuorum(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.SnapshotEntries, o.TrailingBytes, o.SegmentBytes = 40, 1, 64<<10 })
	c.startAll()
	register(t, c.nodes[1])
	for i := range 60 { // more than a snapshot's worth
		createTopic(t, c.nodes[1], fmt.Sprintf("before-%d", i), 1)
	}
	c.agree()
	o := c.nodes[1].opts
	observer := c.start(10).opts
	refused(t, o, []int32{2, 3}, "in use by another process")
	c.stop(10)
	refused(t, observer, []int32{2, 3}, "has not the controller role")
	c.stop(1)
	refused(t, o, []int32{2, 3}, "voter 2 answers at")
	c.stop(2)
	refused(t, o, []int32{2, 3}, "voter 3 answers at")
	c.stop(3)
	never := o
	never.Dir = t.TempDir()
	refused(t, never, []int32{2, 3}, "no metadata directory")
	refused(t, o, []int32{2}, "the other voters are [2 3], not [2]")
	refused(t, o, []int32{2, 3, 4}, "the other voters are [2 3], not [2 3 4]")

	look, err := RecoverQuorum(testContext(t), o, nil)
	if err != nil || len(look.Lost) != 2 || look.Lost[0].Silence == nil || look.Lost[1].Addr != c.voters[3] || look.Topics != 60 || look.Last < look.Committed {
		t.Fatalf("%+v, %v", look, err)
	}
	again, err := RecoverQuorum(testContext(t), o, nil)
	if err != nil || again.Last != look.Last || again.Term != look.Term || again.Committed != look.Committed {
		t.Fatalf("looking changes something: %+v, then %+v, %v", look, again, err)
	}
	r, err := RecoverQuorum(testContext(t), o, []int32{3, 2})
	if err != nil || r.Last != look.Last+1 || r.Committed != r.Last || r.Term != look.Term+1 {
		t.Fatalf("%+v, %v", r, err)
	}
	refused(t, o, []int32{2, 3}, "it needs nobody to start")

	for _, id := range []int32{2, 3} {
		if err := os.RemoveAll(fmt.Sprintf("%s/%d", c.dir, id)); err != nil {
			t.Fatal(err)
		}
	}
	n := c.start(1) // its configuration names all three still
	if got := c.leader(); got != n || voterIDs(n.Image()) != "1" {
		t.Fatalf("voters %s", voterIDs(n.Image()))
	}
	register(t, n)
	createTopic(t, n, "after", 1)
	if n.Image().NumTopics() != 61 {
		t.Errorf("%d topics", n.Image().NumTopics())
	}
	second := c.join(2, c.voters[1])
	if code, text := c.addVoter(n, second); code != 0 {
		t.Fatalf("add the emptied voter: code %d: %s", code, text)
	}
	createTopic(t, second, "with-two", 1)
	c.agree()
	c.stop(1)
	n = c.start(1)
	register(t, n)
	createTopic(t, n, "restarted", 1)
	c.agree()
	if got := voterIDs(n.Image()); got != "1 2" {
		t.Errorf("voters %s", got)
	}
}

// pair is a quorum of two: the founder and a second one.
func newPair(t *testing.T) (c *cluster, founder, second *Node) {
	c = newCluster(t, 1, nil)
	founder = c.start(1)
	register(t, founder)
	second = c.join(2, c.voters[1])
	if code, text := c.addVoter(founder, second); code != 0 {
		t.Fatalf("code %d: %s", code, text)
	}
	c.agree()
	return c, founder, second
}

// TestRemovalOfOneOfTwo: both commit the removal of one of two voters, and what was confirmed holds on the one that stays without the other. With the
// other gone nothing is confirmed, and the one that is left can be recovered, with the removal in its log that nobody has committed.
func TestRemovalOfOneOfTwo(t *testing.T) {
	t.Run("confirmed", func(t *testing.T) {
		c, founder, second := newPair(t)
		createTopic(t, second, "before", 1)
		if code, text := c.removeVoter(founder, 2, second.directory); code != 0 {
			t.Fatalf("code %d: %s", code, text)
		}
		c.kill(1)
		c.kill(2) // for good
		founder = c.start(1)
		if c.leader() != founder || voterIDs(founder.Image()) != "1" {
			t.Fatalf("voters %s", voterIDs(founder.Image()))
		}
		createTopic(t, founder, "alone", 1)
	})
	t.Run("not confirmed", func(t *testing.T) {
		c, founder, second := newPair(t)
		createTopic(t, founder, "before", 1)
		if c.leader() != founder {
			second.resign(testContext(t))
			waittest.Until(t, testTimeout, "the founder leads", founder.ctl.active)
		}
		c.kill(2)
		end := founder.core.status.Load().commit
		ctx, cancel := context.WithTimeout(testContext(t), time.Second)
		defer cancel()
		req := kmsg.NewPtrRemoveRaftVoterRequest()
		req.VoterID, req.VoterDirectoryID = 2, second.directory
		resp, err := founder.Controller().Do(ctx, req)
		if err == nil && resp.(*kmsg.RemoveRaftVoterResponse).ErrorCode == 0 {
			t.Fatal("one of two voters has removed the other without it")
		}
		if last, _ := founder.log.Storage().LastIndex(); int64(last) <= end {
			t.Fatal("the removal is not in the log: the test shows nothing")
		}
		o := founder.opts
		c.kill(1)
		founder = c.start(1)
		if err := try(founder, "without-a-majority", 3*electionTicks*founder.opts.Tick); err == nil {
			t.Fatal("one of two voters leads")
		}
		c.kill(1)
		if _, err := RecoverQuorum(testContext(t), o, []int32{2}); err != nil {
			t.Fatal(err)
		}
		founder = c.start(1)
		if c.leader() != founder || voterIDs(founder.Image()) != "1" || founder.Image().Topic("before") == nil {
			t.Fatalf("voters %s", voterIDs(founder.Image()))
		}
		createTopic(t, founder, "alone", 1)
	})
}
