package kraft

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/waittest"
)

// join starts a controller that is no voter yet and knows the others by their addresses only.
func (c *cluster) join(id int32, bootstrap ...string) *Node {
	c.t.Helper()
	addr := localhost(c.t)
	old := c.change
	c.change = func(o *Options) {
		if old != nil {
			old(o)
		}
		o.Voters, o.Bootstrap, o.Roles.Controller, o.Listen = nil, bootstrap, true, endpoint(c.t, addr)
	}
	defer func() { c.change = old }()
	return c.start(id)
}

func addRequest(n *Node) *kmsg.AddRaftVoterRequest {
	r := kmsg.NewPtrAddRaftVoterRequest()
	r.ClusterID, r.TimeoutMillis, r.VoterID, r.VoterDirectoryID = &n.opts.ClusterID, 20_000, n.opts.NodeID, n.directory
	for _, e := range n.endpoints {
		r.Listeners = append(r.Listeners, kmsg.AddRaftVoterRequestListener{Name: e.Name, Host: e.Host, Port: e.Port})
	}
	return r
}

// addVoter has a node made a voter; the result is Kafka's error code.
func (c *cluster) addVoter(by, n *Node) (int16, string) {
	c.t.Helper()
	return c.change80(by, addRequest(n))
}

func (c *cluster) change80(by *Node, r *kmsg.AddRaftVoterRequest) (int16, string) {
	c.t.Helper()
	resp, err := by.Controller().Do(testContext(c.t), r)
	if err != nil {
		c.t.Fatal(err)
	}
	out := resp.(*kmsg.AddRaftVoterResponse)
	return out.ErrorCode, textOf(out.ErrorMessage)
}

func (c *cluster) removeVoter(by *Node, id int32, directory [16]byte) (int16, string) {
	c.t.Helper()
	r := kmsg.NewPtrRemoveRaftVoterRequest()
	r.VoterID, r.VoterDirectoryID = id, directory
	resp, err := by.Controller().Do(testContext(c.t), r)
	if err != nil {
		c.t.Fatal(err)
	}
	out := resp.(*kmsg.RemoveRaftVoterResponse)
	return out.ErrorCode, textOf(out.ErrorMessage)
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// voterIDs are the voters of an image, with an L behind learners.
func voterIDs(img *Image) string {
	var ids []string
	for _, v := range img.Voters() {
		id := fmt.Sprint(v.ID)
		if v.Learner {
			id += "L"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

// TestVotersComeAndGo grows a quorum of one to three, removes the founder while it leads, and ends with other nodes than it began with. Nodes with old
// configurations follow all the time.
func TestVotersComeAndGo(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) { o.SnapshotEntries, o.TrailingBytes, o.SegmentBytes = 40, 1, 64<<10 })
	founder := c.start(1)
	first := c.voters[1]
	observer := c.start(10) // knows nobody but the founder
	register(t, observer)
	for i := range 100 {
		createTopic(t, observer, fmt.Sprintf("before-%d", i), 1)
	}
	second, third := c.join(2, first), c.join(3, "127.0.0.1:1", first)
	c.agree()
	waittest.Until(t, testTimeout, "joining controllers are listed as observers with their directories", func() bool {
		q, n := founder.Quorum(), 0
		for _, o := range q.Observers {
			if o.ID == 2 && o.Directory == second.directory || o.ID == 3 && o.Directory == third.directory {
				n++
			}
		}
		return n == 2 && len(q.Voters) == 1 && q.Voters[0].Directory == founder.directory
	})
	for _, n := range []*Node{second, third} {
		if code, text := c.addVoter(observer, n); code != 0 {
			t.Fatalf("add %d: code %d: %s", n.opts.NodeID, code, text)
		}
	}
	if got := voterIDs(founder.Image()); got != "1 2 3" {
		t.Fatalf("voters %s", got)
	}
	if code, text := c.addVoter(second, third); code != kafkaDuplicateVoter || !strings.Contains(text, "ReplicaKey(id=3, directoryId="+uuidText(third.directory)) {
		t.Errorf("added twice: code %d: %s", code, text)
	}
	createTopic(t, third, "with-three", 1)
	c.agree()
	q := c.leader().Quorum()
	if len(q.Voters) != 3 || len(q.Observers) != 1 {
		t.Errorf("quorum %+v", q)
	}

	// The founder leads, is removed, and hands over.
	if c.leader() != founder {
		t.Log("the founder does not lead any more")
	}
	if code, text := c.removeVoter(founder, 1, second.directory); code != kafkaVoterNotFound {
		t.Errorf("another directory: code %d: %s", code, text)
	}
	if code, text := c.removeVoter(founder, 1, founder.directory); code != 0 {
		t.Fatalf("remove the founder: code %d: %s", code, text)
	}
	waittest.Until(t, testTimeout, "another one leads", func() bool { return c.leader() != founder })
	createTopic(t, founder, "by-the-removed", 1) // it goes on as an observer
	c.agree()
	if got := voterIDs(observer.Image()); got != "2 3" {
		t.Fatalf("voters %s", got)
	}
	if founder.ctl.active() {
		t.Error("the removed controller is active")
	}

	// It restarts with the configuration by which it once founded the cluster alone, and must not do so again.
	c.stop(1)
	founder = c.start(1)
	createTopic(t, founder, "by-the-restarted", 1)
	c.agree()
	if founder.ctl.active() || founder.core.status.Load().isLeader {
		t.Error("the removed founder leads")
	}

	// With the founder gone an observer that knows only it and one of the others finds the rest, and so does one that was there before.
	c.stop(1)
	c.change = func(o *Options) { o.Voters = map[int32]string{1: first, 2: endpointAddr(second.endpoints[0])} }
	late := c.start(11)
	register(t, late)
	createTopic(t, late, "by-the-late", 1)
	createTopic(t, observer, "by-the-early", 1)
	c.agree()

	// The last voter cannot be removed.
	if code, text := c.removeVoter(late, 3, third.directory); code != 0 {
		t.Fatalf("remove 3: code %d: %s", code, text)
	}
	if code, text := c.removeVoter(late, 2, second.directory); code != kafkaVoterNotFound {
		t.Fatalf("the last voter: code %d: %s", code, text)
	}
	createTopic(t, late, "alone", 1)
	c.agree()
	if got := voterIDs(late.Image()); got != "2" {
		t.Fatalf("voters %s", got)
	}
}

// TestVoterThatIsNotThere: nothing changes when the new voter cannot be reached, is somebody else, or belongs elsewhere.
func TestVoterThatIsNotThere(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.start(1)
	c.leader()
	register(t, n)
	joiner := c.join(2, c.voters[1])
	observer := c.start(10)
	good := addRequest(joiner)
	for name, x := range map[string]struct {
		change func(*kmsg.AddRaftVoterRequest)
		code   int16
		text   string
	}{
		"nobody there":      {func(r *kmsg.AddRaftVoterRequest) { r.Listeners[0].Port = 1 }, kafkaRequestTimedOut, "does not answer at 127.0.0.1:1"},
		"another node":      {func(r *kmsg.AddRaftVoterRequest) { r.VoterID = 7 }, kafkaInvalidRequest, "id=2"},
		"another directory": {func(r *kmsg.AddRaftVoterRequest) { r.VoterDirectoryID = [16]byte{9} }, kafkaInvalidRequest, uuidText(joiner.directory)},
		"no listener":       {func(r *kmsg.AddRaftVoterRequest) { r.Listeners = nil }, kafkaInvalidRequest, "listener"},
		"another cluster":   {func(r *kmsg.AddRaftVoterRequest) { other := "other"; r.ClusterID = &other }, kafkaInconsistentClusterID, "not other"},
		"a voter":           {func(r *kmsg.AddRaftVoterRequest) { r.VoterID, r.VoterDirectoryID = 1, n.directory }, kafkaDuplicateVoter, "already part"},
	} {
		r := *good
		r.Listeners = append([]kmsg.AddRaftVoterRequestListener(nil), good.Listeners...)
		x.change(&r)
		if code, text := c.change80(observer, &r); code != x.code || !strings.Contains(text, x.text) {
			t.Errorf("%s: code %d: %s", name, code, text)
		}
	}
	if got := voterIDs(n.Image()); got != "1" {
		t.Fatalf("voters %s", got)
	}
	// One that stops in the middle does not stay behind as a learner.
	r := *good
	r.TimeoutMillis = 1000
	stop(t, joiner)
	delete(c.nodes, 2)
	v := Voter{ID: 2, Directory: joiner.directory, Endpoints: joiner.endpoints}
	if err := n.ctl.changeVoters(testContext(t), learn(v)); err != nil {
		t.Fatal(err)
	}
	createTopic(t, n, "a-learner-holds-up-nothing", 1)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := n.caughtUp(ctx, 2); err == nil || !strings.Contains(err.Error(), "has not caught up in time") {
		t.Errorf("%v", err)
	}
	if code, text := c.removeVoter(n, 2, joiner.directory); code != 0 {
		t.Errorf("remove a learner: code %d: %s", code, text)
	}
}

// TestVoterWithAnEmptyDisk: a voter that has lost its disk must not vote as the one that it was. It is removed and added.
func TestVoterWithAnEmptyDisk(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	lead := c.leader()
	register(t, lead)
	createTopic(t, lead, "before", 1)
	waittest.Until(t, testTimeout, "all directories are known", func() bool {
		for _, v := range lead.Image().Voters() {
			if v.Directory == [16]byte{} {
				return false
			}
		}
		return true
	})
	lost := int32(1)
	if lead.opts.NodeID == 1 {
		lost = 2
	}
	was := c.nodes[lost].directory
	c.stop(lost)
	dir := c.dir
	c.dir = filepath.Join(t.TempDir())
	anew := c.start(lost)
	c.dir = dir
	createTopic(t, lead, "two-of-three", 1)
	waittest.Until(t, testTimeout, "it follows as an observer", func() bool { return anew.Image().Topic("two-of-three") != nil })
	if st := anew.core.status.Load(); st.leader != 0 || anew.ctl.active() {
		t.Fatalf("it takes part: %+v", st)
	}
	if code, text := c.removeVoter(anew, lost, was); code != 0 {
		t.Fatalf("remove: code %d: %s", code, text)
	}
	if code, text := c.addVoter(anew, anew); code != 0 {
		t.Fatalf("add: code %d: %s", code, text)
	}
	waittest.Until(t, testTimeout, "it follows by raft", func() bool { return anew.core.status.Load().leader != 0 })
	createTopic(t, anew, "three-again", 1)
	c.agree()
	if got := voterIDs(lead.Image()); got != "1 2 3" {
		t.Fatalf("voters %s", got)
	}
}

// TestVoterMoves: a voter that comes back at another address is found there, though the configurations of all others are old.
func TestVoterMoves(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	observer := c.start(10)
	register(t, observer)
	mover := int32(1)
	if c.leader().opts.NodeID == 1 {
		mover = 2
	}
	old := c.voters
	c.stop(mover)
	c.voters = map[int32]string{1: old[1], 2: old[2], 3: old[3], mover: localhost(t)}
	n := c.start(mover)
	waittest.Until(t, testTimeout, "the image names the new address", func() bool {
		v, _ := observer.Image().Voter(mover)
		return len(v.Endpoints) == 1 && endpointAddr(v.Endpoints[0]) == c.voters[mover]
	})
	// The quorum needs it now.
	for id := range c.voters {
		if id != mover && id != c.leader().opts.NodeID {
			c.stop(id)
			break
		}
	}
	createTopic(t, observer, "with-the-mover", 1)
	waittest.Until(t, testTimeout, "the mover has it", func() bool { return n.Image().Topic("with-the-mover") != nil })
}
