package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
)

// StartNode starts the metadata node that a configuration describes. A broker node is started fenced: Start unfences it.
func StartNode(cfg *config.Config, log *slog.Logger, onFailure func(error)) (*kraft.Node, error) {
	opts := kraft.Options{
		NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, Roles: kraft.Roles{Broker: cfg.Broker, Controller: cfg.Controller},
		Voters: cfg.Voters, Dir: filepath.Join(cfg.MetadataLogDir, "metadata"), Rack: cfg.Rack, StartFenced: cfg.Broker,
		BrokerHeartbeat: cfg.Quorum.BrokerHeartbeatInterval, BrokerSession: cfg.Quorum.BrokerSessionTimeout,
		SnapshotBytes: cfg.Quorum.SnapshotMaxNewBytes,
		Defaults:      controllerDefaults(cfg), Logger: log, OnFailure: onFailure,
	}
	if cfg.Controller {
		l := cfg.ControllerListeners()[0]
		if l.Protocol != "PLAINTEXT" {
			return nil, fmt.Errorf("engine: controller listener %s: security protocol %s is not supported by this version; use PLAINTEXT", l.Name, l.Protocol)
		}
		addr, err := net.ResolveTCPAddr("tcp", l.Addr())
		if err != nil {
			return nil, fmt.Errorf("engine: listeners: %s: %w", l, err)
		}
		opts.Listen = netpoll.Endpoint{Name: l.Name, Addr: *addr}
	}
	return kraft.Start(opts)
}

// controllerDefaults is what the controller needs of the broker configuration.
func controllerDefaults(cfg *config.Config) kraft.Defaults {
	return kraft.Defaults{
		Partitions:          cfg.Topics.NumPartitions,
		ReplicationFactor:   cfg.Topics.DefaultReplicationFactor,
		NoDeleteTopics:      !cfg.Topics.DeleteEnable,
		ValidateTopicConfig: config.ValidateTopic,
		ValidateBrokerConfig: func(resource, key, value string) error {
			err := config.ValidateBroker(key, value, resource != "")
			if errors.Is(err, config.ErrReadOnly) {
				return fmt.Errorf("%w: %w", kraft.ErrReadOnlyConfig, err)
			}
			return err
		},
		ConfigList: func(t kraft.ConfigType, key string) (string, bool) {
			var d *config.Def
			var ok bool
			if t == kraft.TopicConfig {
				d, ok = config.TopicDef(key)
			} else {
				d, ok = config.BrokerDef(key)
			}
			if !ok || d.Type != config.List {
				return "", false
			}
			return d.Default, true
		},
		TopicConfigs: func(explicit map[string]string) []kraft.EffectiveConfig { return effectiveConfigs(cfg, explicit) },
	}
}

// effectiveConfigs lists a new topic's configuration as CreateTopics answers it.
func effectiveConfigs(cfg *config.Config, explicit map[string]string) []kraft.EffectiveConfig {
	var out []kraft.EffectiveConfig
	for _, d := range config.TopicDefs() {
		value, set := explicit[d.Name]
		if !set && !d.Listed() {
			continue
		}
		e := kraft.EffectiveConfig{Name: d.Name, Source: 1}
		if !set {
			v, _ := cfg.TopicDefault(d.Name, nil)
			value, e.Source = v.Value, 5
			if v.Origin.Static() {
				e.Source = 4
			}
		}
		e.Value = &value
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b kraft.EffectiveConfig) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
