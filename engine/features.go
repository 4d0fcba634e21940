package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/txn"
	"github.com/ringmq/ringmq/kraft"
)

// Features of the cluster, as ApiVersions shows them: clients decide by the level that is finalized what they may do. The metadata have the levels
// (kraft.FeatureLevel), UpdateFeatures changes them, and a new level holds as soon as a broker's image has it.

const transactionFeature = "transaction.version"

// features are what this program knows. Every level that is in force is read from the metadata.
var features = []kraft.Feature{
	{Name: groupVersionFeature, Min: 0, Max: 1, Default: 1},
	{Name: shareVersionFeature, Min: 0, Max: 1, Default: 1},
	{Name: streamsVersionFeature, Min: 0, Max: 1, Default: 1},
	{Name: transactionFeature, Min: 0, Max: int16(txn.Version2), Default: int16(txn.Version2)},
}

// featureLevel is the level of a feature that is finalized.
func (b *Broker) featureLevel(name string) int16 { return kraft.FeatureLevel(b.node.Image(), name) }

// transactionVersion is the level of transaction.version.
func (b *Broker) transactionVersion() txn.Version {
	return txn.Version(b.featureLevel(transactionFeature))
}

// configuredFeature says whether the configuration of this broker has what a feature is about: the cluster may have it all the same.
func (b *Broker) configuredFeature(name string) bool {
	switch name {
	case groupVersionFeature:
		return slices.Contains(b.cfg.Group.Protocols, "consumer")
	case streamsVersionFeature:
		return slices.Contains(b.cfg.Group.Protocols, "streams")
	}
	return true
}

// hasFeature says whether this broker does what a feature is about.
func (b *Broker) hasFeature(name string) bool {
	return b.configuredFeature(name) && b.featureLevel(name) > 0
}

// addFeatures adds what the cluster can do, and does, to an answer. Clients before version 4 do not understand a range that begins with 0: as in Kafka,
// they are not told of it (KAFKA-17492).
func (b *Broker) addFeatures(resp *kmsg.ApiVersionsResponse, version int16) {
	img := b.node.Image()
	resp.FinalizedFeaturesEpoch = img.Offset()
	for _, f := range features {
		if !b.configuredFeature(f.Name) {
			continue
		}
		if version >= 4 || f.Min > 0 {
			supported := kmsg.NewApiVersionsResponseSupportedFeature()
			supported.Name, supported.MinVersion, supported.MaxVersion = f.Name, f.Min, f.Max
			resp.SupportedFeatures = append(resp.SupportedFeatures, supported)
		}
		if level := kraft.FeatureLevel(img, f.Name); level > 0 {
			finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
			finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.Name, level, level
			resp.FinalizedFeatures = append(resp.FinalizedFeatures, finalized)
		}
	}
}
