package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/lab"
	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/waittest"
)

const (
	// ClusterID is the id of every cluster.
	ClusterID = "bGFiLWNsdXN0ZXItMDAwMQ"
	// Session is broker.session.timeout.ms: short, so that tests need not wait, and long enough for a busy machine.
	Session = 3 * time.Second
	// startLimit bounds the start of a node.
	startLimit = 90 * time.Second
)

// Options says what a cluster is made of. Node ids count from 1: controllers first, then nodes with both roles, then brokers.
type Options struct {
	Binary      string // of the server
	Controllers int    // nodes that are only that
	Combined    int    // nodes with both roles
	Brokers     int    // nodes that are only that
	Settings    []string
	Loopback    bool // no namespaces, no faults of the network
}

// Cluster is a running cluster. It belongs to the goroutine of its test.
type Cluster struct {
	T     testing.TB
	Net   *lab.Network
	MinIO *MinIO
	Nodes []*Node // by id, from 1 on
	dir   string
	loads []*Load
}

// MinIO is the object store on its host.
type MinIO struct {
	*proc.MinIO
	Host *lab.Host
}

// Node is a node on its host.
type Node struct {
	*proc.RingMQ
	Host *lab.Host
	c    *Cluster
}

// Start starts a cluster and waits until every node serves. It ends with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	open := lab.Open
	if o.Loopback {
		open = lab.Loopback
	}
	net, err := open()
	if errors.Is(err, lab.ErrNotPermitted) {
		t.Skipf("SKIPPED: a cluster on hosts of its own: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, which has the test's name in it: commas would end a path in the nodes' configuration.
	dir, err := os.MkdirTemp("", "ringmq-lab-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{T: t, Net: net, dir: dir}
	t.Cleanup(c.close)
	c.startMinIO()
	total := o.Controllers + o.Combined + o.Brokers
	for id := 1; id <= total; id++ {
		roles, kind := "broker,controller", "node"
		switch {
		case id <= o.Controllers:
			roles, kind = "controller", "controller"
		case id > o.Controllers+o.Combined:
			roles, kind = "broker", "broker"
		}
		c.add(o, id, roles, kind)
	}
	var voters []string
	for _, n := range c.Nodes {
		if n.Controller() {
			voters = append(voters, n.Voter())
		}
	}
	for _, n := range c.Nodes {
		n.Voters = voters
	}
	c.StartAll(c.Nodes...)
	return c
}

func (c *Cluster) startMinIO() {
	c.T.Helper()
	h := c.host("minio")
	c.MinIO = &MinIO{MinIO: &proc.MinIO{Dir: filepath.Join(c.dir, "minio"), Bucket: "lab", Host: h.Addr(), Wrap: h.Wrap()}, Host: h}
	if err := c.MinIO.Start(c.T.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			c.T.Fatal(err)
		}
		c.T.Skipf("SKIPPED: what runs on MinIO: %v", err)
	}
}

func (c *Cluster) host(name string) *lab.Host {
	c.T.Helper()
	h, err := c.Net.Host(name)
	if err != nil {
		c.T.Fatal(err)
	}
	return h
}

// add describes a node; it is not started.
func (c *Cluster) add(o Options, id int, roles, kind string) *Node {
	c.T.Helper()
	h := c.host(fmt.Sprintf("%s%d", kind, id))
	dir := filepath.Join(c.dir, h.Name)
	n := &Node{c: c, Host: h, RingMQ: &proc.RingMQ{
		Binary: o.Binary, Dir: dir, NodeID: id, Roles: roles, Host: h.Addr(), Wrap: h.Wrap(),
		Overrides: append([]string{
			"cluster.id=" + ClusterID, "s3.data.buckets=" + c.MinIO.BucketURI(), "s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=67108864",
			"s3.wal.upload.interval.ms=500", "s3.wal.upload.threshold=8388608", "s3.wal.cache.size=33554432", "s3.block.cache.size=33554432",
			fmt.Sprintf("broker.session.timeout.ms=%d", Session.Milliseconds()), "broker.heartbeat.interval.ms=300",
			"offsets.topic.num.partitions=4", "group.initial.rebalance.delay.ms=0",
		}, o.Settings...),
	}}
	if !o.Loopback {
		n.Port, n.ControllerPort = 9092, 9093
	} else {
		for _, port := range []*int{&n.Port, &n.ControllerPort} {
			var err error
			if *port, err = freeport.Get(); err != nil {
				c.T.Fatal(err)
			}
		}
	}
	c.Nodes = append(c.Nodes, n)
	return n
}

// AddBroker adds a broker to the running cluster, with the next id, and waits until it serves.
func (c *Cluster) AddBroker(o Options) *Node {
	c.T.Helper()
	n := c.add(o, len(c.Nodes)+1, "broker", "broker")
	n.Voters = c.Nodes[0].Voters
	n.MustStart()
	return n
}

// StartAll starts nodes at the same time and waits until all serve.
func (c *Cluster) StartAll(nodes ...*Node) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), startLimit)
	defer cancel()
	errs := make([]error, len(nodes))
	var starts sync.WaitGroup
	for i, n := range nodes {
		starts.Go(func() { _, errs[i] = n.Start(ctx) })
	}
	starts.Wait()
	if err := errors.Join(errs...); err != nil {
		c.T.Fatalf("start the cluster: %v", err)
	}
}

// MustStart starts the node, also again, and returns how long it took until it served.
func (n *Node) MustStart() time.Duration {
	n.c.T.Helper()
	ctx, cancel := context.WithTimeout(n.c.T.Context(), startLimit)
	defer cancel()
	took, err := n.Start(ctx)
	if err != nil {
		n.c.T.Fatalf("start node %d: %v", n.NodeID, err)
	}
	return took
}

// MustStop stops the node cleanly, by SIGTERM.
func (n *Node) MustStop() time.Duration {
	n.c.T.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(n.c.T.Context(), startLimit)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		n.c.T.Fatalf("SIGTERM to node %d: %v", n.NodeID, err)
	}
	return time.Since(begun)
}

// Log is everything that the node has logged.
func (n *Node) Log() string {
	b, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Node is the node of an id.
func (c *Cluster) Node(id int) *Node { return c.Nodes[id-1] }

// Brokers are the nodes with the broker role.
func (c *Cluster) Brokers() []*Node { return c.with((*Node).isBroker) }

// Controllers are the nodes with the controller role.
func (c *Cluster) Controllers() []*Node { return c.with((*Node).isController) }

func (n *Node) isBroker() bool { return n.Broker() }

func (n *Node) isController() bool { return n.Controller() }

func (c *Cluster) with(has func(*Node) bool) (found []*Node) {
	for _, n := range c.Nodes {
		if has(n) {
			found = append(found, n)
		}
	}
	return found
}

// Hosts are the hosts of nodes.
func Hosts(nodes ...*Node) (hosts []*lab.Host) {
	for _, n := range nodes {
		hosts = append(hosts, n.Host)
	}
	return hosts
}

// Seeds are the addresses for clients.
func (c *Cluster) Seeds() (seeds []string) {
	for _, n := range c.Brokers() {
		seeds = append(seeds, n.Seed())
	}
	return seeds
}

// Client is a Kafka client that ends with the test.
func (c *Cluster) Client(opts ...kgo.Opt) *kgo.Client {
	c.T.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Seeds()...), kgo.DialTimeout(2 * time.Second), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)...)
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(cl.Close)
	return cl
}

// Await polls until the condition holds, and fails the test with its last reason when it does not within the limit.
func (c *Cluster) Await(limit time.Duration, what string, holds func() error) {
	c.T.Helper()
	waittest.UntilNil(c.T, limit, what, func() error {
		err := holds()
		if err != nil {
			c.Alive()
		}
		return err
	})
}

// Active is the active controller, as the controllers themselves say; nil if none of those that answer knows one.
func (c *Cluster) Active() *Node {
	c.T.Helper()
	var mu sync.Mutex
	var best int64 = -1
	var active *Node
	var asked sync.WaitGroup
	for _, n := range c.Controllers() {
		asked.Go(func() { // all at once: some may be cut off
			leader, epoch, err := n.quorumLeader()
			mu.Lock()
			defer mu.Unlock()
			if err == nil && leader > 0 && epoch > best {
				best, active = epoch, c.Node(leader)
			}
		})
	}
	asked.Wait()
	return active
}

// AwaitActive waits until there is an active controller that is none of those excepted.
func (c *Cluster) AwaitActive(limit time.Duration, except ...*Node) (active *Node) {
	c.T.Helper()
	c.Await(limit, "active controller", func() error {
		if active = c.Active(); active == nil {
			return errors.New("no controller knows one")
		}
		for _, n := range except {
			if n == active {
				return fmt.Errorf("it is node %d still", n.NodeID)
			}
		}
		return nil
	})
	return active
}

// Followed returns an error unless every other controller has the log of the active one.
func (c *Cluster) Followed(active *Node) error {
	p, err := active.describeQuorum()
	if err != nil {
		return err
	}
	for _, v := range p.CurrentVoters {
		if v.LogEndOffset < p.HighWatermark {
			return fmt.Errorf("controller %d has %d of %d records", v.ReplicaID, v.LogEndOffset, p.HighWatermark)
		}
	}
	return nil
}

// quorumLeader asks one controller who leads the quorum, and in which epoch.
func (n *Node) quorumLeader() (leader int, epoch int64, err error) {
	p, err := n.describeQuorum()
	return int(p.LeaderID), int64(p.LeaderEpoch), err
}

// describeQuorum asks one controller for the state of the quorum.
func (n *Node) describeQuorum() (p kmsg.DescribeQuorumResponseTopicPartition, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(fmt.Sprintf("%s:%d", n.Host.Addr(), n.ControllerPort)), kgo.DialTimeout(300*time.Millisecond), kgo.RequestRetries(0))
	if err != nil {
		return p, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(n.c.T.Context(), 300*time.Millisecond)
	defer cancel()
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic, partition := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
	topic.Topic, topic.Partitions = "__cluster_metadata", append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := cl.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return p, err
	}
	r := resp.(*kmsg.DescribeQuorumResponse)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return p, fmt.Errorf("labtest: node %d describes no quorum: %+v", n.NodeID, r)
	}
	return r.Topics[0].Partitions[0], nil
}

// Leaders tells which node leads each partition of a topic, -1 for none, as any broker has it.
func (c *Cluster) Leaders(topic string) []int {
	c.T.Helper()
	cl := c.Client()
	defer cl.Close()
	var found []int
	c.Await(time.Minute, "description of topic "+topic, func() error {
		ctx, cancel := context.WithTimeout(c.T.Context(), 5*time.Second)
		defer cancel()
		topics, err := kadm.NewClient(cl).ListTopicsWithInternal(ctx, topic)
		if err == nil {
			err = topics.Error()
		}
		if err != nil {
			return err
		}
		found = make([]int, len(topics[topic].Partitions))
		for i, p := range topics[topic].Partitions {
			found[i] = int(p.Leader)
		}
		return nil
	})
	return found
}

// AwaitLeaders waits until every partition of a topic has a leader, and returns them.
func (c *Cluster) AwaitLeaders(limit time.Duration, topic string) (leaders []int) {
	c.T.Helper()
	c.Await(limit, "leader of every partition of "+topic, func() error {
		leaders = c.Leaders(topic)
		if slices.Contains(leaders, -1) {
			return fmt.Errorf("leaders: %v", leaders)
		}
		return nil
	})
	return leaders
}

// close ends everything; when the test has failed, it shows the logs.
func (c *Cluster) close() {
	defer os.RemoveAll(c.dir)
	for _, l := range c.loads {
		l.abandon()
	}
	for _, n := range c.Nodes {
		if n.Process != nil {
			n.Process.Kill()
		}
	}
	if c.MinIO != nil && c.MinIO.Process != nil {
		c.MinIO.Process.Kill()
	}
	if err := c.Net.Close(); err != nil {
		c.T.Error(err)
	}
	if !c.T.Failed() {
		return
	}
	for _, n := range c.Nodes {
		log := n.Log()
		c.T.Logf("log of node %d (%s):\n%s", n.NodeID, n.Roles, log[max(0, len(log)-6000):])
	}
	if keep := os.Getenv("LABTEST_KEEP"); keep != "" {
		to := filepath.Join(keep, strings.ReplaceAll(c.T.Name(), "/", "_"))
		for _, n := range c.Nodes {
			err := os.MkdirAll(to, 0o755)
			if err == nil {
				err = os.WriteFile(filepath.Join(to, n.Host.Name+".log"), []byte(n.Log()), 0o644)
			}
			if err != nil {
				c.T.Logf("LABTEST_KEEP: %v", err)
			}
		}
		c.T.Logf("the nodes' logs are kept in %s", to)
	}
}
