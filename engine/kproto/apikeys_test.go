package kproto

import (
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// newerThan43 are the versions that kmsg knows and Kafka 4.3 does not serve, because they came with 4.4 or are unstable.
var newerThan43 = map[int16]int16{
	KeyApiVersions: 5, KeyTxnOffsetCommit: 6, KeyDeleteGroups: 3, KeyStreamsGroupHeartbeat: 1, KeyStreamsGroupDescribe: 1,
	KeyStreamsGroupTopologyDescriptionUpdate: 0, KeyUnregisterController: 0,
}

func TestAPIsAgainstKmsg(t *testing.T) {
	newer := map[int16]int16{}
	count := 0
	APIs(func(a *API) bool {
		count++
		req := kmsg.RequestForKey(a.Key)
		if req == nil || APIByKey(a.Key) != a {
			t.Fatalf("key %d: kmsg has %v, APIByKey gives %v", a.Key, req, APIByKey(a.Key))
		}
		if got, want := strings.ToLower(a.Name), strings.ToLower(kmsg.NameForKey(a.Key)); got != want && a.Key != KeyAlterPartitionReassignments {
			t.Errorf("key %d: name %s, kmsg says %s", a.Key, got, want)
		}
		for v := int16(0); v <= req.MaxVersion()+1; v++ {
			req.SetVersion(v)
			if IsFlexible(a.Key, v) != req.IsFlexible() {
				t.Errorf("%s v%d: flexible %v, kmsg says %v", a.Name, v, IsFlexible(a.Key, v), req.IsFlexible())
			}
		}
		switch {
		case a.Served() && a.Max > req.MaxVersion(), a.Served() && a.Min > a.Max, !a.Served() && a.Listeners != 0, a.Served() && a.Listeners == 0:
			t.Errorf("%+v, kmsg goes up to v%d", *a, req.MaxVersion())
		case a.Max < req.MaxVersion() && a.Key >= 8 || a.Served() && a.Max < req.MaxVersion():
			newer[a.Key] = req.MaxVersion()
		}
		return true
	})
	if count != int(MaxKey)+1 || kmsg.RequestForKey(MaxKey+1) != nil {
		t.Errorf("%d keys, and kmsg knows %v", count, kmsg.RequestForKey(MaxKey+1))
	}
	if !maps.Equal(newer, newerThan43) {
		t.Errorf("kmsg is newer in %v, want %v", newer, newerThan43)
	}
}

func TestAPIVersions(t *testing.T) {
	produce := APIByKey(KeyProduce)
	if produce.Min != 0 || produce.Has(2) || !produce.Has(3) || !produce.Has(13) || produce.Has(14) {
		t.Errorf("Produce: %+v", produce)
	}
	if a := APIByKey(KeyLeaderAndIsr); a.Served() || a.Has(0) {
		t.Errorf("LeaderAndIsr: %+v", a)
	}
	if a := APIByKey(KeyVote); a.Listeners != ControllerListener {
		t.Errorf("Vote: %+v", a)
	}
	if APIByKey(-1) != nil || APIByKey(MaxKey+1) != nil || IsFlexible(-1, 9) || IsFlexible(MaxKey+1, 9) || APIName(-1) != "unknown" {
		t.Error("keys that do not exist are known")
	}
	stopped := 0
	APIs(func(*API) bool { stopped++; return stopped < 3 })
	if stopped != 3 {
		t.Errorf("APIs went on after false: %d", stopped)
	}
}
