package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/kraft"
)

// visitWait is how long the controllers may take to answer for the first time.
const visitWait = 30 * time.Second

// Visit follows the metadata of the cluster that a configuration names, without being one of its nodes, and returns when it has seen them. With the id of a dead
// broker the node may take its place (kraft.Node.BeginRescue). leave ends it, within its context.
func Visit(ctx context.Context, cfg *config.Config, clusterID string, id int32, log *slog.Logger, onFailure func(error)) (node *kraft.Node, leave func(context.Context) error, err error) {
	dial, err := DialControllers(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "ringmq-visit-")
	if err != nil {
		return nil, nil, fmt.Errorf("engine: %w", err)
	}
	q := cfg.Quorum
	node, err = kraft.Start(kraft.Options{
		NodeID: id, ClusterID: clusterID, Roles: kraft.Roles{Broker: true}, StandIn: true, Voters: cfg.Voters, Bootstrap: cfg.BootstrapServers, Dir: dir, DialTLS: dial,
		BrokerHeartbeat: q.BrokerHeartbeatInterval, BrokerSession: q.BrokerSessionTimeout, Logger: log, OnFailure: onFailure,
	})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	leave = func(ctx context.Context) error { return errors.Join(node.Stop(ctx), os.RemoveAll(dir)) }
	wait, cancel := context.WithTimeout(ctx, visitWait)
	defer cancel()
	if err := node.WaitImage(wait, func(img *kraft.Image) bool { return img.ClusterID() != "" }); err != nil {
		if failure := node.Err(); failure != nil {
			err = failure
		}
		return nil, nil, errors.Join(fmt.Errorf("engine: the controllers (controller.quorum.voters) do not answer: %w", err), leave(ctx))
	}
	return node, leave, nil
}
