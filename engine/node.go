package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ringmq/ringmq/engine/clientmetrics"
	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
)

// startNode starts the metadata node that a configuration describes, with the TLS of its listeners. A broker node is started fenced: Start unfences it.
func startNode(cfg *config.Config, secure *tlsconf.Set, changes kraft.MutationQuota, log *slog.Logger, onFailure func(error)) (*kraft.Node, error) {
	opts, err := nodeOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	opts.OnFailure, opts.Mutations = onFailure, changes
	if cfg.Controller {
		if src := secure.Of(opts.Listen.Name); src != nil {
			opts.Listen.TLS = src.Server()
			if !src.DemandsCertificates() {
				log.Warn("the controllers' listener does not demand certificates: whoever reaches it can change the cluster's metadata",
					"listener", opts.Listen.Name, "remedy", "listener.name."+strings.ToLower(opts.Listen.Name)+".ssl.client.auth=required")
			}
		}
	}
	if src := secure.Of(cfg.ControllerListenerNames[0]); src != nil {
		opts.DialTLS = src.Client
	}
	if src := secure.Of(cfg.InterBrokerListenerName); src != nil {
		opts.BrokerTLS = src.Client
	}
	return kraft.Start(opts)
}

// nodeOptions are those of the metadata node that a configuration describes, without TLS.
func nodeOptions(cfg *config.Config, log *slog.Logger) (kraft.Options, error) {
	opts := kraft.Options{
		NodeID: cfg.NodeID, ClusterID: cfg.ClusterID, Roles: kraft.Roles{Broker: cfg.Broker, Controller: cfg.Controller},
		Voters: cfg.Voters, Bootstrap: cfg.BootstrapServers, DirectoryID: cfg.DirectoryID, Dir: filepath.Join(cfg.MetadataLogDir, "metadata"), Rack: cfg.Rack, StartFenced: cfg.Broker,
		BrokerHeartbeat: cfg.Quorum.BrokerHeartbeatInterval, BrokerSession: cfg.Quorum.BrokerSessionTimeout,
		SnapshotBytes: cfg.Quorum.SnapshotMaxNewBytes, Tick: cfg.Quorum.ElectionTimeout / electionTimeoutTicks,
		Tokens:   kraft.TokenOptions(cfg.Tokens),
		Features: features,
		Defaults: controllerDefaults(cfg), Balancer: cfg.Balancer, Logger: log,
	}
	if cfg.Controller {
		l := cfg.ControllerListeners()[0]
		addr, err := net.ResolveTCPAddr("tcp", l.Addr())
		if err != nil {
			return opts, fmt.Errorf("engine: listeners: %s: %w", l, err)
		}
		opts.Listen = netpoll.Endpoint{Name: l.Name, Addr: *addr}
		opts.ControllerEndpoints = []kraft.BrokerEndpoint{controllerEndpoint(cfg, l)}
	}
	return opts, nil
}

// RecoverQuorum is kraft.RecoverQuorum for the stopped node that a configuration describes.
func RecoverQuorum(ctx context.Context, cfg *config.Config, lost []int32, log *slog.Logger) (kraft.QuorumRecovery, error) {
	opts, err := nodeOptions(cfg, log)
	if err != nil {
		return kraft.QuorumRecovery{}, err
	}
	if opts.DialTLS, err = DialControllers(cfg, log); err != nil {
		return kraft.QuorumRecovery{}, err
	}
	return kraft.RecoverQuorum(ctx, opts, lost)
}

// DialControllers is the TLS with which a program that is no node of the cluster calls the controllers, with the key store of the configuration; nil:
// plaintext.
func DialControllers(cfg *config.Config, log *slog.Logger) (func(host string) *tls.Config, error) {
	for _, c := range cfg.AllTLS() {
		if c.Listener == cfg.ControllerListenerNames[0] {
			src, err := tlsconf.Open(c, log)
			if err != nil {
				return nil, fmt.Errorf("engine: %w", err)
			}
			return src.Client, nil
		}
	}
	return nil, nil
}

// electionTimeoutTicks is controller.quorum.election.timeout.ms in units of kraft.Options.Tick. A controller stands for election after 10 to 19 of them without a
// leader; what is left is for the vote, so that one that is split and repeated still ends within two timeouts.
const electionTimeoutTicks = 25

// controllerEndpoint is where other nodes reach the controller of this one: as controller.quorum.voters says, or at the listener, by this machine's name
// where that gives no host.
func controllerEndpoint(cfg *config.Config, l config.Listener) kraft.BrokerEndpoint {
	e := kraft.BrokerEndpoint{Name: l.Name, Host: l.Host, Port: uint16(l.Port), SecurityProtocol: securityProtocol(l.Protocol)}
	if host, port, err := net.SplitHostPort(cfg.Voters[cfg.NodeID]); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16) // checked by config
		e.Host, e.Port = host, uint16(n)
	}
	if ip := net.ParseIP(e.Host); e.Host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			e.Host = name
		}
	}
	return e
}

// controllerDefaults is what the controller needs of the broker configuration.
func controllerDefaults(cfg *config.Config) kraft.Defaults {
	return kraft.Defaults{
		Partitions:            cfg.Topics.NumPartitions,
		ReplicationFactor:     cfg.Topics.DefaultReplicationFactor,
		NoDeleteTopics:        !cfg.Topics.DeleteEnable,
		ValidateTopicConfig:   config.ValidateTopic,
		ValidateClientMetrics: clientmetrics.Validate,
		ValidateGroupConfig:   cfg.ValidateGroup,
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
			switch t {
			case kraft.ClientMetricsConfig:
				return "", false // Kafka does not know here that they are
			case kraft.TopicConfig:
				d, ok = config.TopicDef(key)
			case kraft.GroupConfig:
				d, ok = config.GroupDef(key)
			default:
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
