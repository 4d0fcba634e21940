package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// awkward is a secret that needs encoding in an s3-url and quotation in a shell.
const awkward = "s3cr3t=&/+$HOME %x;9"

// cluster is a cluster of processes on loopback addresses of their own, so that all of them use the ports of the walk-through.
type cluster struct {
	*testing.T
	dir   string // bin/ and, for each host, a working directory
	net   string // first three numbers of the addresses
	minio *s3test.MinIO
	env   []string // of every command
	nodes map[int]*proc.Process
}

// newCluster starts an empty MinIO; nodes come later.
func newCluster(t *testing.T, tls bool) *cluster {
	t.Helper()
	if s3test.MinIOBinary() == "" && os.Getenv("CI") == "true" {
		t.Fatal("no MinIO")
	}
	c := &cluster{T: t, dir: t.TempDir(), net: fmt.Sprintf("127.%d.%d", 30+rand.IntN(200), rand.IntN(256)), nodes: map[int]*proc.Process{},
		minio: s3test.StartMinIOWith(t, s3test.MinIOOptions{TLS: tls, SecretKey: awkward})}
	path, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ringmq", "kafka-server-start.sh", "automq-kafka-admin.sh"} {
		if err := os.Symlink(path, filepath.Join(c.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for id, p := range c.nodes {
			p.Kill()
			if t.Failed() {
				t.Logf("node %d:\n%s", id, tail(c.log(id), 4000))
			}
		}
	})
	return c
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// addr is an address of the cluster: hosts 1 to 3 are the controllers'.
func (c *cluster) addr(host, port int) string { return fmt.Sprintf("%s.%d:%d", c.net, host, port) }

// list is an argument of the generators: the given hosts with one port.
func (c *cluster) list(port int, hosts ...int) string {
	var out []string
	for _, h := range hosts {
		out = append(out, c.addr(h, port))
	}
	return strings.Join(out, ";")
}

// shell runs a line in a directory of the cluster as a user types it, and returns what it prints on both outputs. It must succeed.
func (c *cluster) shell(line string) string {
	c.Helper()
	out, err := c.try(line)
	if err != nil {
		c.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

func (c *cluster) try(line string) (string, error) {
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// quote is a word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// s3url runs generate-s3-url against the store, creating the bucket, and returns the url that it prints.
func (c *cluster) s3url() string {
	c.Helper()
	line := fmt.Sprintf("bin/automq-kafka-admin.sh generate-s3-url --s3-access-key=%s --s3-secret-key=%s --s3-region=us-east-1 --s3-endpoint=%s --s3-data-bucket=ringmq-data --s3-ops-bucket=ringmq-ops --s3-create-buckets",
		c.minio.AccessKey, quote(c.minio.SecretKey), c.minio.Host())
	if c.minio.CAFile != "" {
		line += " --s3-ca-file=" + c.minio.CAFile
	}
	out := c.shell(line)
	_, after, _ := strings.Cut(out, "Your s3url is:\n\n")
	url, _, _ := strings.Cut(after, "\n")
	if strings.Count(out, "[ OK ] ") != 16 || !strings.HasPrefix(url, "s3://"+c.minio.Host()+"?") {
		c.Fatalf("generate-s3-url: %s", out)
	}
	return url
}

var startCommand = regexp.MustCompile(`(?m)^bin/kafka-server-start\.sh .*$`)

// nodeID finds the id in a start command.
var nodeID = regexp.MustCompile(`node\.id=(\d+)`)

// generate runs one of the generators of the admin tool; the overrides keep the test small and quick.
func (c *cluster) generate(command, url, controllers, brokers string, flags ...string) string {
	c.Helper()
	return c.shell(fmt.Sprintf("bin/automq-kafka-admin.sh %s --s3-url=\"%s\" --controller-list=%s --broker-list=%s --data-dir=%s --override s3.wal.capacity=67108864 --override group.initial.rebalance.delay.ms=0 %s",
		command, url, quote(controllers), quote(brokers), filepath.Join(c.dir, "data"), strings.Join(flags, " ")))
}

// host is the working directory of a node, with a bin of its own.
func (c *cluster) host(id int) string {
	c.Helper()
	dir := filepath.Join(c.dir, fmt.Sprintf("host-%d", id))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.Fatal(err)
	}
	if err := os.Symlink("../bin", filepath.Join(dir, "bin")); err != nil && !os.IsExist(err) {
		c.Fatal(err)
	}
	return dir
}

// start has a shell run a node's start command in the node's directory. The shell makes room for the node, so that signals reach it.
func (c *cluster) start(id int, command string) {
	c.Helper()
	// With everything that a node can show of itself.
	cmd := exec.Command("sh", "-c", "exec "+command+" --override s3.telemetry.metrics.exporter.uri=prometheus://127.0.0.1:0")
	cmd.Dir, cmd.Env = c.host(id), append(append(os.Environ(), "RINGMQ_PROFILE=127.0.0.1:0"), c.env...)
	p, err := proc.Start(fmt.Sprintf("node %d", id), c.logPath(id), cmd)
	if err != nil {
		c.Fatal(err)
	}
	c.nodes[id] = p
}

func (c *cluster) logPath(id int) string { return filepath.Join(c.dir, fmt.Sprintf("host-%d.log", id)) }

func (c *cluster) log(id int) string {
	b, err := os.ReadFile(c.logPath(id))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ready waits until each of the nodes has said so once more than before.
func (c *cluster) ready(ids ...int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
	defer cancel()
	for _, id := range ids {
		err := c.nodes[id].WaitReady(ctx, func(context.Context) error {
			if strings.Contains(c.log(id), " msg=ready ") {
				return nil
			}
			return fmt.Errorf("not ready")
		})
		if err != nil {
			c.Fatal(err)
		}
	}
}

// startAll starts the printed commands, and returns the ids of their nodes.
func (c *cluster) startAll(printed string) []int {
	c.Helper()
	begun := time.Now()
	var ids []int
	for _, command := range startCommand.FindAllString(printed, -1) {
		var id int
		fmt.Sscan(nodeID.FindStringSubmatch(command)[1], &id)
		c.start(id, command)
		ids = append(ids, id)
	}
	c.ready(ids...)
	c.Logf("%d nodes ready after %s", len(ids), time.Since(begun).Round(time.Millisecond))
	return ids
}

// stop sends SIGTERM to a node, which must end cleanly.
func (c *cluster) stop(id int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	begun := time.Now()
	if err := c.nodes[id].Stop(ctx); err != nil {
		c.Fatalf("SIGTERM: %v\n%s", err, tail(c.log(id), 4000))
	}
	c.Logf("node %d stopped after %s", id, time.Since(begun).Round(time.Millisecond))
	delete(c.nodes, id)
}
