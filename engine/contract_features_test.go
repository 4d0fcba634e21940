package engine_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// Kinds of updates of a feature.
const (
	upgrade       = 1
	safeDowngrade = 2
)

type featureUpdate struct {
	name  string
	level int16
	kind  int8
}

func updateFeaturesRequest(version int16, updates ...featureUpdate) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.Version, req.TimeoutMillis = version, 10_000
	for _, u := range updates {
		req.FeatureUpdates = append(req.FeatureUpdates, kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: u.name, MaxVersionLevel: u.level, UpgradeType: u.kind, AllowDowngrade: u.kind != upgrade})
	}
	return req
}

// finalized is the level of a feature that ApiVersions shows; 0: none.
func (x *target) finalized(feature string) int16 {
	x.t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 4, "test", "1"
	for _, f := range ask[*kmsg.ApiVersionsResponse](x, req).FinalizedFeatures {
		if f.Name == feature {
			return f.MaxVersionLevel
		}
	}
	return 0
}

// setLevel changes the level of a feature and waits until the broker shows it.
func (x *target) setLevel(feature string, level int16) {
	x.t.Helper()
	kind := int8(upgrade)
	if level < x.finalized(feature) {
		kind = safeDowngrade
	}
	r := ask[*kmsg.UpdateFeaturesResponse](x, updateFeaturesRequest(2, featureUpdate{feature, level, kind}))
	wantCode(x.t, feature+": "+deref(r.ErrorMessage), r.ErrorCode, kproto.None)
	x.eventually("the broker shows the level", func() bool { return x.finalized(feature) == level })
}

const transactionFeature, groupFeature = "transaction.version", "group.version"

// TestUpdateFeaturesRules: what is refused, and how it is answered in every version.
func TestUpdateFeaturesRules(t *testing.T) {
	x := contract(t)
	for version := int16(0); version <= 2; version++ {
		for _, c := range []struct {
			what    string
			updates []featureUpdate
			why     string
		}{
			{"nothing", nil, ""},
			{"the present level", []featureUpdate{{transactionFeature, 2, upgrade}}, ""},
			{"the present levels", []featureUpdate{{transactionFeature, 2, upgrade}, {groupFeature, 1, upgrade}}, ""},
			{"a feature that there is not", []featureUpdate{{"no.such", 1, upgrade}}, "Local controller 1 does not support this feature."},
			{"the end of one", []featureUpdate{{"no.such", 0, upgrade}}, "Feature no.such not found."},
			{"too high", []featureUpdate{{transactionFeature, 3, upgrade}}, "Local controller 1 only supports versions 0-2"},
			{"too low", []featureUpdate{{transactionFeature, -1, upgrade}}, "A feature version cannot be less than 0."},
			{"down by an upgrade", []featureUpdate{{transactionFeature, 1, upgrade}}, "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."},
			{"one of two", []featureUpdate{{transactionFeature, 2, upgrade}, {"no.such", 1, upgrade}}, "no.such"},
		} {
			r := ask[*kmsg.UpdateFeaturesResponse](x, updateFeaturesRequest(version, c.updates...))
			want, results := kproto.None, 0
			switch {
			case c.why != "":
				want = kproto.InvalidUpdateVersion
			case version <= 1:
				results = len(c.updates)
			}
			wantCode(t, c.what, r.ErrorCode, want)
			if len(r.Results) != results || (r.ErrorMessage == nil) != (c.why == "") || !strings.HasSuffix(deref(r.ErrorMessage), c.why) && want != kproto.None && c.what != "one of two" {
				t.Errorf("v%d, %s: %s, %+v", version, c.what, deref(r.ErrorMessage), r)
			}
			for _, one := range r.Results {
				if one.ErrorCode != 0 {
					t.Errorf("v%d, %s: %+v", version, c.what, one)
				}
			}
		}
	}
	for _, kind := range []int8{0, 4} {
		r := ask[*kmsg.UpdateFeaturesResponse](x, updateFeaturesRequest(2, featureUpdate{transactionFeature, 1, kind}))
		wantCode(t, "a kind that there is not", r.ErrorCode, kproto.InvalidUpdateVersion)
	}
	old := ask[*kmsg.UpdateFeaturesResponse](x, updateFeaturesRequest(0, featureUpdate{transactionFeature, 1, safeDowngrade}))
	wantCode(t, "down in version 0", old.ErrorCode, kproto.InvalidUpdateVersion) // AllowDowngrade is not looked at
	only := updateFeaturesRequest(2, featureUpdate{transactionFeature, 0, safeDowngrade})
	only.ValidateOnly = true
	wantCode(t, "only validated", ask[*kmsg.UpdateFeaturesResponse](x, only).ErrorCode, kproto.None)
	if level := x.finalized(transactionFeature); level != 2 {
		t.Errorf("level %d", level)
	}
}

// TestFeatureLevels: a change of a level shows, has its effect, and is there after a restart.
func TestFeatureLevels(t *testing.T) {
	x := contract(t)
	if x.node == nil {
		t.Cleanup(func() {
			x.setLevel(groupFeature, 1)
			x.setLevel(transactionFeature, 2)
		})
	}
	x.coordinator("g") // makes the topic of groups
	heartbeat := func() kproto.ErrorCode {
		return kproto.ErrorCode(ask[*kmsg.ConsumerGroupHeartbeatResponse](x, x.member(x.name()).joining("none")).ErrorCode)
	}
	x.eventually("a group of the consumer protocol", func() bool { return heartbeat() == kproto.None })
	x.setLevel(groupFeature, 0)
	x.check("a heartbeat without the feature", heartbeat(), kproto.UnsupportedVersion)
	for _, level := range []int16{1, 0, 2, 0} {
		x.setLevel(transactionFeature, level)
	}
	toNewer := ask[*kmsg.UpdateFeaturesResponse](x, updateFeaturesRequest(2, featureUpdate{transactionFeature, 2, safeDowngrade}))
	wantCode(t, "up by a downgrade", toNewer.ErrorCode, kproto.InvalidUpdateVersion)
	if x.node != nil {
		x.restart()
		if group, txn := x.finalized(groupFeature), x.finalized(transactionFeature); group != 0 || txn != 0 {
			t.Errorf("levels %d and %d after a restart", group, txn)
		}
	}
	x.setLevel(groupFeature, 1)
	x.eventually("groups of the consumer protocol again", func() bool { return heartbeat() == kproto.None })
}
