package kraft

import (
	"strconv"

	"github.com/ringmq/ringmq/kraft/record"
)

// Feature is something that brokers and clients do only when the whole cluster does, at one of several levels (KIP-584).
type Feature struct {
	Name     string
	Min, Max int16 // levels that this program knows
	Default  int16 // the level in a new cluster
}

var featureResource = ConfigResource{Type: record.FeatureConfig}

// FeatureLevel is the level of a feature that is finalized: the one that is in force. 0: it is not in use.
func FeatureLevel(img *Image, name string) int16 {
	v, ok := img.Config(featureResource, name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 16)
	if err != nil {
		return 0 // of a newer program
	}
	return int16(n)
}

// hasFeatures says whether the levels are in the metadata at all: they are from the first activation of a controller that knows them.
func hasFeatures(img *Image) bool { return len(img.Configs(featureResource)) > 0 }
