package engine

import (
	"log/slog"

	"github.com/ringmq/ringmq/kraft"
)

// noteOffline tells the operator of every node what the fencing of a broker, a rescue, or a return did to the partitions of the cluster.
func noteOffline(log *slog.Logger, prev, next *kraft.Image, delta *kraft.Delta) {
	told := make(map[int32]bool)
	for _, id := range delta.Brokers {
		was, is := prev.Broker(id), next.Broker(id)
		if told[id] || is == nil || was == nil {
			continue
		}
		told[id] = true
		switch {
		case !was.Fenced && is.Fenced:
			counts := next.CountOffline()
			cause := is.Failure
			if cause == "" {
				cause = "not known: it is silent, or has asked for it"
			}
			log.Warn("a broker is fenced", "broker", id, "epoch", is.Epoch, "cause", cause, "log", is.LogName(), "offline_tail_on_its_log", counts[kraft.Tally{Broker: id, Reason: kraft.TailOnWAL}],
				"offline_until_moved", counts[kraft.Tally{Broker: id, Reason: kraft.NoLeader}])
		case was.Fenced && !is.Fenced:
			log.Info("a broker is unfenced", "broker", id, "epoch", is.Epoch)
		case !was.Rescue && is.Rescue:
			log.Warn("a broker's write-ahead log is being rescued", "broker", id, "epoch", is.Epoch, "log", is.LogName())
		case was.Rescue && !is.Rescue && is.RescuedEpoch == is.Epoch:
			log.Info("a broker's write-ahead log is rescued", "broker", id, "epoch", is.Epoch)
		}
	}
}
