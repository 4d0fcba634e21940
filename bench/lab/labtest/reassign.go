package labtest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Reassign has each partition of a topic led by the node that to names, and waits until it is.
func (c *Cluster) Reassign(topic string, to func(partition int) int) {
	c.T.Helper()
	cl := c.Client()
	defer cl.Close()
	want := c.Leaders(topic)
	var moves kadm.AlterPartitionAssignmentsReq
	for p := range want {
		want[p] = to(p)
		moves.Assign(topic, int32(p), []int32{int32(want[p])})
	}
	ctx, cancel := context.WithTimeout(c.T.Context(), time.Minute)
	defer cancel()
	asked, err := kadm.NewClient(cl).AlterPartitionAssignments(ctx, moves)
	if err == nil {
		err = asked.Error()
	}
	if err != nil {
		c.T.Fatalf("reassign %s: %v", topic, err)
	}
	c.Await(recovery, "move of "+topic, func() error {
		for p, leader := range c.Leaders(topic) {
			if leader != want[p] {
				return fmt.Errorf("partition %d is led by %d, to be led by %d", p, leader, want[p])
			}
		}
		return nil
	})
}
