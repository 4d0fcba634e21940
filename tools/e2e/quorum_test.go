package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/freeport"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

const quorumCluster = "quorumAAAAAAAAAAAAAAAA"

// quorum is a cluster of processes: controllers 1 to 3, and broker 4.
type quorum struct {
	t      *testing.T
	dir    string
	voters []string
	nodes  map[int]*proc.RingMQ
	more   func(id int) []string // further settings of a node; may be nil
	tls    *tls.Config           // of the brokers' listeners, by which they are asked; nil: plaintext
}

func startQuorum(t *testing.T, roles string, brokers ...int) *quorum {
	t.Helper()
	return startQuorumWith(t, nil, roles, brokers...)
}

func startQuorumWith(t *testing.T, more func(id int) []string, roles string, brokers ...int) *quorum {
	t.Helper()
	return (&quorum{more: more}).start(t, roles, brokers...)
}

// start starts controllers 1 to 3 and the brokers, as more and tls say.
func (q *quorum) start(t *testing.T, roles string, brokers ...int) *quorum {
	t.Helper()
	q.t, q.dir, q.nodes = t, t.TempDir(), make(map[int]*proc.RingMQ)
	for id := 1; id <= 3; id++ {
		n := q.node(id, roles)
		port, err := freeport.Get()
		if err != nil {
			t.Fatal(err)
		}
		n.ControllerPort = port
		q.voters = append(q.voters, n.Voter())
	}
	for id := 1; id <= 3; id++ {
		q.nodes[id].Voters = q.voters
		if err := q.nodes[id].Launch(); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range brokers {
		n := q.node(id, "broker")
		n.Voters = q.voters
		restart(t, n)
	}
	return q
}

func (q *quorum) node(id int, roles string) *proc.RingMQ {
	dir := filepath.Join(q.dir, fmt.Sprint(id))
	n := &proc.RingMQ{Binary: binary, Dir: dir, NodeID: id, Roles: roles, ClientTLS: q.tls, Overrides: []string{
		"cluster.id=" + quorumCluster, "s3.wal.path=0@file://" + filepath.Join(dir, "wal") + "?capacity=67108864",
		"s3.data.buckets=0@file://" + filepath.Join(q.dir, "objects"), "offsets.topic.num.partitions=1",
	}}
	if q.more != nil {
		n.Overrides = append(n.Overrides, q.more(id)...)
	}
	if err := os.MkdirAll(filepath.Join(q.dir, "objects"), 0o755); err != nil {
		q.t.Fatal(err)
	}
	q.nodes[id] = n
	q.t.Cleanup(func() {
		if n.Process != nil {
			n.Kill()
		}
		if q.t.Failed() {
			if log, err := os.ReadFile(filepath.Join(dir, "server.log")); err == nil {
				q.t.Logf("log of node %d:\n%s", id, log[max(0, len(log)-3000):])
			}
		}
	})
	return n
}

// directory is the directory id that a node has written into its meta.properties.
func (q *quorum) directory(id int) string {
	b, err := os.ReadFile(filepath.Join(q.dir, fmt.Sprint(id), "log", "meta.properties"))
	if err != nil {
		q.t.Fatal(err)
	}
	return regexp.MustCompile(`directory\.id=(\S+)`).FindStringSubmatch(string(b))[1]
}

func (q *quorum) controller(id int) string {
	_, addr, _ := strings.Cut(q.nodes[id].Voter(), "@")
	return addr
}

// client is an admin client of the broker.
func (q *quorum) client(id int) *kadm.Client {
	cl, err := kgo.NewClient(kgo.SeedBrokers(q.nodes[id].Seed()), kgo.RetryTimeout(30*time.Second))
	if err != nil {
		q.t.Fatal(err)
	}
	q.t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// leader asks a broker who the active controller is.
func (q *quorum) leader(cl *kgo.Client) int { return int(q.describe(cl).LeaderID) }

// whole waits until all voters have everything.
func (q *quorum) whole(cl *kgo.Client) {
	q.t.Helper()
	waittest.UntilNil(q.t, 30*time.Second, "all voters have caught up", func() error {
		p := q.describe(cl)
		for _, v := range p.CurrentVoters {
			if v.LogEndOffset < p.HighWatermark {
				return fmt.Errorf("voter %d has not: %+v", v.ReplicaID, p)
			}
		}
		return nil
	})
}

func (q *quorum) describe(cl *kgo.Client) kmsg.DescribeQuorumResponseTopicPartition {
	q.t.Helper()
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
	ctx, cancel := context.WithTimeout(q.t.Context(), 30*time.Second)
	defer cancel()
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.ErrorCode != 0 {
		q.t.Fatalf("DescribeQuorum: %+v, %v", resp, err)
	}
	return resp.Topics[0].Partitions[0]
}

// tool runs one of Kafka's tools and wants it to print every one of the texts.
func (q *quorum) tool(kit *javakit.Kit, exit int, name string, args []string, want ...string) string {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), 2*time.Minute)
	defer cancel()
	r, err := kit.Run(ctx, javakit.Command{Tool: name, Args: args})
	if err != nil || r.ExitCode != exit {
		q.t.Fatalf("%s %v: %v %s", name, args, err, r)
	}
	for _, w := range want {
		if ok, err := regexp.MatchString(w, r.Stdout+r.Stderr); !ok {
			q.t.Fatalf("%s %v does not print %q: %v %s", name, args, w, err, r)
		}
	}
	return r.Stdout
}

// TestQuorumTools: what an operator does to the controllers with Kafka's tools. The texts are those of Apache Kafka 4.3.1.
func TestQuorumTools(t *testing.T) {
	kit := javakit.ForTest(t)
	q := startQuorum(t, "controller", 4)
	server, controller := []string{"--bootstrap-server", q.nodes[4].Seed()}, []string{"--bootstrap-controller", q.controller(1)}
	args := func(at []string, more ...string) []string { return append(append([]string(nil), at...), more...) }
	voter := func(id int) string {
		return fmt.Sprintf(`\{"id": %d, "directoryId": "%s", "endpoints": \["CONTROLLER://%s"\]\}`, id, regexp.QuoteMeta(q.directory(id)), q.controller(id))
	}
	const row = `\t\d+ +\t\d+ +\t(\d+|\d+ ms ago) +\t(\d+|\d+ ms ago) +\t`
	q.tool(kit, 0, "kafka-metadata-quorum", args(server, "describe", "--status"), `ClusterId: +`+quorumCluster, `LeaderId: +[123]\n`, `LeaderEpoch: +\d+`,
		`HighWatermark: +\d+`, `MaxFollowerLag: +\d\n`, `MaxFollowerLagTimeMs: +\d+`,
		`CurrentVoters: +\[`+voter(1)+`, `+voter(2)+`, `+voter(3)+`\]`, `CurrentObservers: +\[\{"id": 4, "directoryId": "`+regexp.QuoteMeta(q.directory(4))+`"\}\]`)
	q.tool(kit, 0, "kafka-metadata-quorum", args(controller, "describe", "--replication", "--human-readable"),
		`NodeId\tDirectoryId +\tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus`,
		`[123] +\t\S{22}`+row+`Leader`, `[123] +\t\S{22}`+row+`Follower`, `4 +\t`+regexp.QuoteMeta(q.directory(4))+row+`Observer`)
	q.tool(kit, 0, "kafka-cluster", args([]string{"cluster-id"}, controller...), `Cluster ID: `+quorumCluster)
	q.tool(kit, 0, "kafka-cluster", args([]string{"list-endpoints"}, server...), fmt.Sprintf(`4 +127.0.0.1 +%d +null +unfenced +broker`, q.nodes[4].Port))
	q.tool(kit, 0, "kafka-cluster", args([]string{"list-endpoints"}, controller...), fmt.Sprintf(`3 +127.0.0.1 +%d +null +controller`, q.nodes[3].ControllerPort))

	// A controller joins. It knows one of the others, and the one that it gets its name from is its own properties file.
	joiner := q.node(5, "controller")
	joiner.Voters = []string{""}
	joiner.Overrides = append(joiner.Overrides, "controller.quorum.bootstrap.servers="+q.controller(2))
	restart(t, joiner)
	props := filepath.Join(q.dir, "new.properties")
	if err := os.WriteFile(props, fmt.Appendf(nil, "process.roles=controller\nnode.id=5\nlisteners=CONTROLLER://%s\ncontroller.listener.names=CONTROLLER\nlog.dirs=%s\n",
		q.controller(5), filepath.Join(joiner.Dir, "log")), 0o644); err != nil {
		t.Fatal(err)
	}
	add := args(server, "--command-config", props, "add-controller")
	q.tool(kit, 0, "kafka-metadata-quorum", add, `Added controller 5 with directory id `+regexp.QuoteMeta(q.directory(5))+` and endpoints: CONTROLLER://`+q.controller(5))
	q.tool(kit, 1, "kafka-metadata-quorum", add, `DuplicateVoterException: The voter id for ReplicaKey\(id=5, directoryId=`+regexp.QuoteMeta(q.directory(5))+`\) is already part of the set of voters`)

	// The active one leaves, with the tool pointed at the controllers.
	adm := q.client(4)
	left := q.leader(kgoOf(t, q.nodes[4].Seed()))
	remove := []string{"remove-controller", "--controller-id", fmt.Sprint(left), "--controller-directory-id", q.directory(left)}
	q.tool(kit, 0, "kafka-metadata-quorum", args([]string{"--bootstrap-controller", q.controller(left%3 + 1)}, remove...),
		fmt.Sprintf(`Removed  KRaft controller %d with directory id %s`, left, regexp.QuoteMeta(q.directory(left))))
	q.tool(kit, 1, "kafka-metadata-quorum", args(server, remove...), fmt.Sprintf(`VoterNotFoundException: Cannot remove voter ReplicaKey\(id=%d`, left))
	q.nodes[left].Kill()
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, "after-the-change"); err != nil {
		t.Fatal(err)
	}
	q.tool(kit, 0, "kafka-cluster", args([]string{"unregister", "--id", "4"}, server...))
	q.tool(kit, 0, "kafka-metadata-quorum", args([]string{"--bootstrap-controller", q.controller(5)}, "describe", "--status"), `CurrentVoters: .*`+voter(5))
}

func kgoOf(t *testing.T, seed string) *kgo.Client {
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.RetryTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestActiveControllerIsKilled measures how long nothing can be changed when the process of the active controller ends.
func TestActiveControllerIsKilled(t *testing.T) {
	for name, roles := range map[string]string{"dedicated": "controller", "combined": "broker,controller"} {
		t.Run(name, func(t *testing.T) {
			q := startQuorum(t, roles, 4)
			cl := kgoOf(t, q.nodes[4].Seed())
			adm := kadm.NewClient(cl)
			worst := time.Duration(0)
			for round := range 5 {
				q.whole(cl)
				lead := q.leader(cl)
				begun := time.Now()
				q.nodes[lead].Kill()
				for try := 0; ; try++ {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					resp, err := adm.CreateTopic(ctx, 1, 1, nil, fmt.Sprintf("round-%d-%d", round, try))
					cancel()
					if err == nil && resp.Err == nil {
						break
					}
					if time.Since(begun) > 30*time.Second {
						t.Fatalf("nothing can be changed any more: %v", err)
					}
				}
				took := time.Since(begun)
				worst = max(worst, took)
				t.Logf("controller %d killed; a topic was created %v later", lead, took.Round(time.Millisecond))
				if err := q.nodes[lead].Launch(); err != nil {
					t.Fatal(err)
				}
			}
			if worst > 2*time.Second {
				t.Errorf("the longest time without a controller was %v", worst)
			}
		})
	}
}

// TestQuorumIsRecovered loses two of three controllers for good, and has the third go on alone.
func TestQuorumIsRecovered(t *testing.T) {
	q := startQuorum(t, "controller", 4)
	createTopicBy(t, q.client(4), "kept")
	command := func(status int, want string, args ...string) {
		t.Helper()
		flags := args
		for _, s := range q.nodes[1].Settings() {
			args = append(args, "--override", s)
		}
		cmd := exec.Command(binary, args...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status || !strings.Contains(string(out), want) {
			t.Fatalf("%v, %v: %s\nwant status %d and %q", flags, err, out, status, want)
		}
	}
	recover := func(status int, want string, flags ...string) {
		t.Helper()
		command(status, want, append([]string{"quorum", "recover"}, flags...)...)
	}
	yes := []string{"--cluster-id", quorumCluster, "--lost", "2,3"}
	command(0, "partitions are served", "partition", "offline")
	recover(3, "in use by another process", yes...)
	q.nodes[4].Kill()
	q.nodes[1].Kill()
	recover(3, "voter 2 answers at", yes...)
	q.nodes[2].Kill()
	q.nodes[3].Kill()
	if err := q.nodes[1].Launch(); err != nil {
		t.Fatal(err)
	}
	command(1, "no active controller", "partition", "offline") // what the one that is left has may be old
	q.nodes[1].Kill()
	recover(2, "go together", "--lost", "2,3")
	recover(3, "not of another", "--cluster-id", "another", "--lost", "2,3")
	recover(3, "the other voters are [2 3]", "--cluster-id", quorumCluster, "--lost", "2")
	recover(0, "--cluster-id "+quorumCluster+" --lost 2,3")
	recover(0, "node 1 is the only voter", yes...)
	recover(3, "needs nobody", yes...)
	if err := q.nodes[1].Launch(); err != nil {
		t.Fatal(err)
	}
	restart(t, q.nodes[4])
	adm := q.client(4)
	createTopicBy(t, adm, "new")
	topics, err := adm.ListTopics(t.Context())
	if err != nil || !topics.Has("kept") || !topics.Has("new") {
		t.Errorf("topics %v, %v", topics.Names(), err)
	}
}

func createTopicBy(t *testing.T, adm *kadm.Client, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if resp, err := adm.CreateTopic(ctx, 1, 1, nil, name); err != nil || resp.Err != nil {
		t.Fatalf("create topic %s: %v, %v", name, err, resp.Err)
	}
}

// TestWrongClusterProcess: a node of another cluster stops, and says which cluster it has met.
func TestWrongClusterProcess(t *testing.T) {
	q := startQuorum(t, "controller", 4)
	for _, roles := range []string{"broker", "controller"} {
		n := q.node(7, roles)
		n.Dir = filepath.Join(q.dir, "stranger-"+roles)
		n.Voters = q.voters
		n.Overrides = append(n.Overrides, "cluster.id=strangerAAAAAAAAAAAAAA", "s3.wal.path=0@file://"+filepath.Join(n.Dir, "wal")+"?capacity=67108864")
		if roles == "controller" {
			n.Voters = []string{""}
			n.Overrides = append(n.Overrides, "controller.quorum.bootstrap.servers="+q.controller(1))
		}
		if err := n.Launch(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-n.Exited():
		case <-time.After(30 * time.Second):
			t.Fatalf("the %s of another cluster goes on", roles)
		}
		log, err := os.ReadFile(filepath.Join(n.Dir, "server.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []string{"wrong cluster", quorumCluster, "strangerAAAAAAAAAAAAAA"} {
			if !strings.Contains(string(log), w) {
				t.Errorf("the %s does not say %q:\n%s", roles, w, log)
			}
		}
	}
}
