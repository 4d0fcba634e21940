package kraft

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var testFeatures = []Feature{{Name: "a.version", Max: 2, Default: 2}, {Name: "b.version", Max: 1, Default: 0}}

// update is UpdateFeatures of some features: name, level, kind of update, ...
func update(validate bool, version int16, list ...any) *kmsg.UpdateFeaturesRequest {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.Version, req.ValidateOnly = version, validate
	for i := 0; i < len(list); i += 3 {
		req.FeatureUpdates = append(req.FeatureUpdates, kmsg.UpdateFeaturesRequestFeatureUpdate{
			Feature: list[i].(string), MaxVersionLevel: int16(list[i+1].(int)), UpgradeType: int8(list[i+2].(int)),
		})
	}
	return req
}

// TestFeatureUpdates: what is refused, in Kafka's words, changes nothing; what is only validated does not either.
func TestFeatureUpdates(t *testing.T) {
	h := kafkaHarness(t, func(o *Options) { o.Features = testFeatures })
	for _, c := range []struct {
		req    *kmsg.UpdateFeaturesRequest
		why    string
		levels [2]int16
	}{
		{update(false, 2), "", [2]int16{2, 0}},
		{update(false, 2, "b.version", 1, 1), "", [2]int16{2, 1}},
		{update(false, 2, "b.version", 2, 1), "for feature b.version. Local controller 1 only supports versions 0-1", [2]int16{2, 1}},
		{update(false, 2, "c.version", 1, 1), "Invalid update version 1 for feature c.version. Local controller 1 does not support this feature.", [2]int16{2, 1}},
		{update(false, 2, "c.version", 0, 2), "Feature c.version not found.", [2]int16{2, 1}},
		{update(false, 2, "a.version", -1, 2), "cannot be less than 0", [2]int16{2, 1}},
		{update(false, 2, "a.version", 1, 1), "Can't downgrade the version of this feature without", [2]int16{2, 1}},
		{update(false, 2, "a.version", 1, 0), "does not support the given upgrade type", [2]int16{2, 1}},
		{update(false, 2, "a.version", 1, 4), "does not support the given upgrade type", [2]int16{2, 1}},
		{update(true, 2, "a.version", 1, 2), "", [2]int16{2, 1}},
		{update(false, 2, "a.version", 1, 2, "b.version", 0, 1), "b.version", [2]int16{2, 1}}, // all or nothing
		{update(false, 2, "a.version", 1, 2, "b.version", 0, 3), "", [2]int16{1, 0}},
		{update(false, 2, "a.version", 2, 2), "Can't downgrade to a newer version.", [2]int16{1, 0}},
		{update(false, 1, "a.version", 2, 1, "b.version", 0, 2), "", [2]int16{2, 0}},
	} {
		resp := h.do(c.req).(*kmsg.UpdateFeaturesResponse)
		want := int16(0)
		if c.why != "" {
			want = kafkaInvalidUpdate
		}
		results := 0
		if c.why == "" {
			results = len(c.req.FeatureUpdates)
		}
		if resp.ErrorCode != want || len(resp.Results) != results || c.why != "" && !strings.Contains(*resp.ErrorMessage, c.why) || c.why == "" && resp.ErrorMessage != nil {
			t.Errorf("%+v: %+v", c.req.FeatureUpdates, resp)
		}
		if have := [2]int16{FeatureLevel(h.image(), "a.version"), FeatureLevel(h.image(), "b.version")}; have != c.levels {
			t.Errorf("%+v: levels %v, want %v", c.req.FeatureUpdates, have, c.levels)
		}
	}
}

// TestFeaturesOfAnotherProgram: a feature that comes with a newer program is at level 0 until somebody upgrades it; the levels that were there stay.
func TestFeaturesOfAnotherProgram(t *testing.T) {
	h := kafkaHarness(t, func(o *Options) { o.Features = testFeatures })
	h.do(update(false, 2, "a.version", 1, 2))
	h.ctl.deactivate()
	h.ctl.opts.Features = append([]Feature{{Name: "new.version", Max: 1, Default: 1}}, testFeatures...)
	h.ctl.activate(1, h.image())
	if a, fresh := FeatureLevel(h.image(), "a.version"), FeatureLevel(h.image(), "new.version"); a != 1 || fresh != 0 {
		t.Errorf("levels %d and %d, want 1 and 0", a, fresh)
	}
	h.do(update(false, 2, "new.version", 1, 1))
	if level := FeatureLevel(h.image(), "new.version"); level != 1 {
		t.Errorf("upgraded to %d", level)
	}
}
