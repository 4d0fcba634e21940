package kraft

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// Kinds of updates of a feature.
const (
	featureUpgrade         int8 = 1
	featureSafeDowngrade   int8 = 2
	featureUnsafeDowngrade int8 = 3
)

// foundFeatures writes the levels of a new cluster, and those of one that was there before levels were kept. A feature that comes with a newer program stays at
// level 0 until somebody upgrades it.
func (t *tx) foundFeatures() {
	if hasFeatures(t.img()) {
		return
	}
	for _, f := range t.c.opts.Features {
		t.setFeature(f.Name, f.Default)
	}
}

func (t *tx) setFeature(name string, level int16) {
	t.add(&record.ConfigSet{Resource: featureResource, Key: name, Value: strconv.Itoa(int(level))})
}

// updateFeatures is all or nothing.
func (t *tx) updateFeatures(r *kmsg.UpdateFeaturesRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	resp.Results = []kmsg.UpdateFeaturesResponseResult{}
	for i := range r.FeatureUpdates {
		u := &r.FeatureUpdates[i]
		if why := t.refusedFeature(u); why != "" {
			text := fmt.Sprintf("The update failed for all features since the following feature had an error: Invalid update version %d for feature %s. %s", u.MaxVersionLevel, u.Feature, why)
			resp.ErrorCode, resp.ErrorMessage = kafkaInvalidUpdate, &text
			return resp
		}
	}
	for i := range r.FeatureUpdates {
		u := &r.FeatureUpdates[i]
		if !r.ValidateOnly && FeatureLevel(t.img(), u.Feature) != u.MaxVersionLevel {
			t.setFeature(u.Feature, u.MaxVersionLevel)
			t.c.logger.Info("kraft: level of a feature changed", "feature", u.Feature, "level", u.MaxVersionLevel)
		}
		resp.Results = append(resp.Results, kmsg.UpdateFeaturesResponseResult{Feature: u.Feature}) // version 2 does not carry them
	}
	return resp
}

// asVersion1 makes a request of version 0, which has no kinds of updates and can only upgrade, one that says so.
func asVersion1(r *kmsg.UpdateFeaturesRequest) {
	if r.Version > 0 {
		return
	}
	r.Version = 1
	for i := range r.FeatureUpdates {
		r.FeatureUpdates[i].UpgradeType = featureUpgrade
	}
}

// refusedFeature says, in Kafka's words, why a feature cannot be set to a level; "": it can.
func (t *tx) refusedFeature(u *kmsg.UpdateFeaturesRequestFeatureUpdate) string {
	level, now := u.MaxVersionLevel, FeatureLevel(t.img(), u.Feature)
	i := slices.IndexFunc(t.c.opts.Features, func(f Feature) bool { return f.Name == u.Feature })
	switch {
	case u.UpgradeType < featureUpgrade || u.UpgradeType > featureUnsafeDowngrade:
		return "The controller does not support the given upgrade type."
	case level < 0:
		return "A feature version cannot be less than 0."
	case i < 0 && level == 0:
		return "Feature " + u.Feature + " not found."
	case i < 0:
		return fmt.Sprintf("Local controller %d does not support this feature.", t.c.opts.NodeID)
	case level < t.c.opts.Features[i].Min || level > t.c.opts.Features[i].Max:
		return fmt.Sprintf("Local controller %d only supports versions %d-%d", t.c.opts.NodeID, t.c.opts.Features[i].Min, t.c.opts.Features[i].Max)
	case level < now && u.UpgradeType == featureUpgrade:
		return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
	case level > now && u.UpgradeType != featureUpgrade:
		return "Can't downgrade to a newer version."
	}
	return ""
}
