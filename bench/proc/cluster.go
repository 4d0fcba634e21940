package proc

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/ringmq/ringmq/tools/freeport"
)

// Cluster is several RingMQ nodes as processes over one object store in a directory: node 1 is broker and controller, the others are brokers. All
// are on 127.0.0.1. Each may be killed and started again.
type Cluster struct {
	Nodes []*RingMQ
}

// clusterID is that of every cluster of this package: they are told apart by their directories and ports.
const clusterID = "benchClusterAAAAAAAAAA"

// NewCluster describes n nodes under dir. Later overrides win over earlier ones.
func NewCluster(binary, dir string, n int, overrides ...string) (*Cluster, error) {
	c := &Cluster{}
	for i := range n {
		r := &RingMQ{Binary: binary, Dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1)), NodeID: i + 1}
		var err error
		if r.Port, err = freeport.Get(); err != nil {
			return nil, err
		}
		if i > 0 {
			r.Roles, r.Voters = "broker", []string{c.Nodes[0].Voter()}
		} else if r.ControllerPort, err = freeport.Get(); err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, r)
		r.Overrides = append([]string{
			"cluster.id=" + clusterID, "s3.data.buckets=0@file://" + filepath.Join(c.Nodes[0].Dir, "objects"),
		}, overrides...)
	}
	return c, nil
}

// Start starts all nodes, the controller first.
func (c *Cluster) Start(ctx context.Context) error {
	for _, r := range c.Nodes {
		if _, err := r.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Seeds are the addresses for clients.
func (c *Cluster) Seeds() []string {
	var out []string
	for _, r := range c.Nodes {
		out = append(out, r.Seed())
	}
	return out
}

// Kill ends all nodes that run.
func (c *Cluster) Kill() {
	for _, r := range c.Nodes {
		if r.Process != nil {
			r.Kill()
		}
	}
}
